/**
 * Thrown by a handler of a `routedBy` method for something that another instance holds: the client asks there instead and
 * remembers. Never reaches the caller.
 */
export class HeldElsewhere extends Error {
  override readonly name = 'HeldElsewhere';

  /** @param instance name of the instance that holds it */
  constructor(readonly instance: string) {
    super(`Held by instance ${instance}`);
  }
}
