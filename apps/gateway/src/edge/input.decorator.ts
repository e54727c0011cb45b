import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { type Caller as CallerType, type InputClass, parseHttpInput } from '@gatehouse/contracts';
import type { FastifyRequest } from 'fastify';

const requestOf = (context: ExecutionContext): FastifyRequest => context.switchToHttp().getRequest<FastifyRequest>();

/** The request's path, query and body as one checked input. */
export const readInput = <T extends object>(type: InputClass<T>, { params, query, body }: FastifyRequest): T =>
  parseHttpInput(type, { path: params as Record<string, string>, query: query as Record<string, unknown>, body: (body ?? {}) as Record<string, unknown> });

/** {@link readInput} for a handler that knows its class beforehand. Nest wants a plain function per use, so the class is bound here. */
export const Input = (type: InputClass<object>): ParameterDecorator => createParamDecorator((_data: unknown, context: ExecutionContext) => readInput(type, requestOf(context)))();

/** Who is asking, as the edge established it. */
export const Caller: () => ParameterDecorator = createParamDecorator((_data: unknown, context: ExecutionContext): CallerType => {
  const { caller } = requestOf(context);
  if (caller === null) throw new Error('a route outside /v1 asked for its caller');
  return caller;
});
