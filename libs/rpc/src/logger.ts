/** What this library needs of a logger; pino's has this shape. */
export interface RpcLogger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/**
 * Lets one line of a kind through per interval, with the number of lines held back before it: a flood of bad packets must
 * not become a flood of logs.
 */
export class QuietLog {
  private heldBack = 0;
  private silentUntil = 0;

  constructor(
    private readonly write: (fields: object, message: string) => void,
    private readonly intervalMs = 5_000,
  ) {}

  line(fields: object, message: string): void {
    const now = performance.now();
    if (now < this.silentUntil) {
      this.heldBack++;
      return;
    }
    this.write(this.heldBack === 0 ? fields : { ...fields, heldBack: this.heldBack }, message);
    this.heldBack = 0;
    this.silentUntil = now + this.intervalMs;
  }
}
