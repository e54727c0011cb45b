import { Controller, Get, Req } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { Requires } from '../edge/requires.decorator.js';
import { type KeyView, keyView } from '../keys/key-view.js';

@Controller('v1/me')
export class MeController {
  /** The key that asks, and its team. The edge has both already. */
  @Get()
  @Requires()
  get(@Req() { apiKey }: FastifyRequest): { key: KeyView; team: { id: string; name: string; createdAt: string } } {
    if (apiKey === null) throw new Error('a request without a key got past the edge');
    const { id, name, createdAt } = apiKey.team;
    return { key: keyView(apiKey), team: { id, name, createdAt: createdAt.toISOString() } };
  }
}
