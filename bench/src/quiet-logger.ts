/** Shows only what spoils a measurement. */
export const quiet = {
  debug: (): void => undefined,
  info: (): void => undefined,
  warn: (fields: object, message: string): void => console.error(message, fields),
  error: (fields: object, message: string): void => console.error(message, fields),
};
