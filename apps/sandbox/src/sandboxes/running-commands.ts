import { BoundedWork, type WorkLimits } from './bounded-work.js';

/**
 * How many commands run now. A command may take ten minutes and hold megabytes of output, so without a bound one team could
 * take all that this process can answer at once, and the others with it.
 */
export class RunningCommands extends BoundedWork {
  constructor(limits: WorkLimits) {
    super(limits, 'Too many commands are running');
  }
}
