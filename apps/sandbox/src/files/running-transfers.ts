import { BoundedWork, type WorkLimits } from '../sandboxes/bounded-work.js';

/**
 * How many large contents pass through this process now. Each holds a connection into a sandbox and its share of memory, a
 * slow client's for hours.
 */
export class RunningTransfers extends BoundedWork {
  constructor(limits: WorkLimits) {
    super(limits, 'Too many files are being transferred');
  }
}
