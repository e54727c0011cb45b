/** Patterns of hosts a request to `host` may find: itself, and one label of it replaced. */
export const patternsFor = (host: string): string[] => {
  const dot = host.indexOf('.');
  // An address has dots but no labels, and an empty label is none.
  return dot < 1 || /^[\d.]+$|^\[/.test(host) ? [host] : [host, `*${host.slice(dot)}`];
};
