import { type Caller, type RpcCall, type RpcContract, type RpcHandlers, parseInput, patternOf } from '@gatehouse/contracts';
import { type ArgumentsHost, Catch, Controller, type ExceptionFilter, type ExecutionContext, UseFilters, createParamDecorator } from '@nestjs/common';
import { MessagePattern } from '@nestjs/microservices';
import type { RpcRequest } from '../server/rpc-request.js';

type RpcServiceClass<C extends RpcContract> = new (...args: never[]) => RpcHandlers<C>;

/**
 * Makes a class the implementation of a contract: a Nest controller whose methods are called `(caller, input, call)`, the
 * input read and validated here again, whoever sent it. A class may carry several contracts.
 * @throws Error at once when a method of the contract is missing.
 */
export const RpcService =
  <C extends RpcContract>(contract: C) =>
  (type: RpcServiceClass<C>): void => {
    const prototype = type.prototype as object;
    const missing = Object.keys(contract.methods).filter(name => typeof Reflect.get(prototype, name) !== 'function');
    if (missing.length > 0) throw new Error(`${type.name} does not implement ${missing.map(name => patternOf(contract, name)).join(', ')}`);

    Controller()(type);
    UseFilters(new LeaveToServer())(type);
    for (const [name, method] of Object.entries(contract.methods)) {
      const descriptor = ownDescriptor(prototype, name);
      MessagePattern(patternOf(contract, name), { method })(prototype, name, descriptor);
      CallerParameter()(prototype, name, 0);
      InputParameter()(prototype, name, 1);
      CallParameter()(prototype, name, 2);
    }
  };

const requestOf = (context: ExecutionContext): RpcRequest => context.switchToRpc().getData<RpcRequest>();

const CallerParameter = createParamDecorator((_data: unknown, context: ExecutionContext): Caller => requestOf(context).caller);
const CallParameter = createParamDecorator((_data: unknown, context: ExecutionContext): RpcCall => requestOf(context).call);
const InputParameter = createParamDecorator((_data: unknown, context: ExecutionContext): object => {
  const { method, input } = requestOf(context);
  return parseInput(method.input, input);
});

/** Nest would log what is no RpcException and replace it; the server does both, once, with the request id. */
@Catch()
class LeaveToServer implements ExceptionFilter {
  catch(thrown: unknown, _host: ArgumentsHost): never {
    throw thrown;
  }
}

/** A pattern is written onto the function itself, so an inherited one is copied: two subclasses must not share it. */
const ownDescriptor = (prototype: object, name: string): PropertyDescriptor => {
  const own = Object.getOwnPropertyDescriptor(prototype, name);
  if (own !== undefined) return own;
  const inherited = Reflect.get(prototype, name) as (...args: unknown[]) => unknown;
  const copy: PropertyDescriptor = {
    configurable: true,
    writable: true,
    value(this: object, ...args: unknown[]) {
      return inherited.apply(this, args);
    },
  };
  Object.defineProperty(prototype, name, copy);
  return copy;
};
