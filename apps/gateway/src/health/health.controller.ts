import { Controller, Get } from '@nestjs/common';
import { type Check, Readiness } from './readiness.js';

@Controller()
export class HealthController {
  constructor(private readonly readiness: Readiness) {}

  /** The process lives. Asks nothing else, so that a dead database does not get it restarted. */
  @Get('health')
  health(): { status: 'ok'; timestamp: string } {
    return { status: 'ok', timestamp: new Date().toISOString() };
  }

  /** Everything it needs answers. */
  @Get('ready')
  async ready(): Promise<{ status: 'ready'; checks: Record<Check, 'ok'> }> {
    return { status: 'ready', checks: await this.readiness.check() };
  }
}
