import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { type Caller as CallerType, type InputClass, parseHttpInput } from '@gatehouse/contracts';
import type { FastifyRequest } from 'fastify';

const requestOf = (context: ExecutionContext): FastifyRequest => context.switchToHttp().getRequest<FastifyRequest>();

/** The request's path, query and body as one checked input. Nest wants a plain function per use, so the class is bound here. */
export const Input = (type: InputClass<object>): ParameterDecorator =>
  createParamDecorator((_data: unknown, context: ExecutionContext) => {
    const request = requestOf(context);
    return parseHttpInput(type, {
      path: request.params as Record<string, string>,
      query: request.query as Record<string, unknown>,
      body: (request.body ?? {}) as Record<string, unknown>,
    });
  })();

/** Who is asking, as the edge established it. */
export const Caller: () => ParameterDecorator = createParamDecorator((_data: unknown, context: ExecutionContext): CallerType => {
  const { caller } = requestOf(context);
  if (caller === null) throw new Error('a route outside /v1 asked for its caller');
  return caller;
});
