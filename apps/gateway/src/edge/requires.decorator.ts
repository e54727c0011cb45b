import { applyDecorators } from '@nestjs/common';
import { RouteConfig } from '@nestjs/platform-fastify';
import type { Scope } from '@gatehouse/contracts';

/** What a route asks of a caller, read by the edge before anything of the request's body is. */
export interface RoutePolicy {
  /** All of them; none = any valid key. */
  readonly scopes: readonly Scope[];
  /** Counts on the `create` policy too. */
  readonly creates: boolean;
  /** A query parameter: where it is given, the body is bytes of any type, which the handler reads. */
  readonly bytesWith?: string;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    policy?: RoutePolicy;
  }
}

/** Scopes a key needs for this route. Every `/v1` route has one of these decorators; the edge refuses to start otherwise. */
export const Requires = (...scopes: Scope[]): MethodDecorator => applyDecorators(RouteConfig({ policy: { scopes, creates: false } satisfies RoutePolicy }));

/** Like {@link Requires}, for routes that bring up machines or runs. */
export const RequiresToCreate = (...scopes: Scope[]): MethodDecorator => applyDecorators(RouteConfig({ policy: { scopes, creates: true } satisfies RoutePolicy }));

/** Like {@link Requires}, for a route that takes a JSON body or, where the query has `parameter`, bytes of any type: see `UploadedBytes`. */
export const RequiresOfUploads = (parameter: string, ...scopes: Scope[]): MethodDecorator => applyDecorators(RouteConfig({ policy: { scopes, creates: false, bytesWith: parameter } satisfies RoutePolicy }));
