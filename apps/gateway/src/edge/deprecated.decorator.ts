import { RouteConfig } from '@nestjs/platform-fastify';
import { FASTIFY_ROUTE_CONFIG_METADATA } from '@nestjs/platform-fastify/constants.js';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What to do instead. */
    deprecated?: string;
  }
}

/** Every answer of the route says that it is deprecated, and what to do instead. Written above `@Requires`, which would replace it. */
export const Deprecated =
  (advice: string): MethodDecorator =>
  (prototype, name, descriptor: PropertyDescriptor) => {
    const handler = descriptor.value as object;
    const config = Reflect.getMetadata(FASTIFY_ROUTE_CONFIG_METADATA, handler) as object | undefined;
    if (config === undefined) throw new Error(`${String(name)}: write @Deprecated(…) above @Requires(…)`);
    RouteConfig({ ...config, deprecated: advice })(prototype, name, descriptor);
  };

/** On whatever the route sends, also when the edge refuses the request before its handler. Called before routes are made. */
export const announceDeprecations = (fastify: FastifyInstance): void => {
  fastify.addHook('onRoute', route => {
    const advice = route.config?.deprecated;
    if (advice === undefined) return;
    const announce = async (_request: FastifyRequest, reply: FastifyReply): Promise<void> => {
      void reply.headers({ deprecation: 'true', 'x-deprecated': advice });
    };
    route.onSend = [announce, ...[route.onSend ?? []].flat()];
  });
};
