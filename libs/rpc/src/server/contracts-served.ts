import { type RpcContract, type ServiceName, patternOf } from '@gatehouse/contracts';

/** How many handlers a pattern has. */
export type ServedPatterns = ReadonlyMap<string, number>;

/**
 * What keeps a process from serving the contracts it claims, one line each; empty when nothing does. Each method needs
 * exactly one handler: none would be a caller's timeout, two would be decided by the order of modules.
 */
export const contractProblems = (service: ServiceName, claimed: readonly RpcContract[], served: ServedPatterns): string[] => {
  const problems: string[] = [];
  for (const contract of claimed) {
    if (contract.service !== service) {
      problems.push(`contract ${contract.resource} belongs to the service ${contract.service}, not to ${service}`);
      continue;
    }
    const missing = Object.keys(contract.methods).filter(method => !served.has(patternOf(contract, method)));
    if (missing.length > 0) problems.push(`contract ${contract.resource} has no handler for ${missing.join(', ')}: put @RpcService on its class and the class into the controllers of a module`);
  }
  for (const [pattern, handlers] of served) if (handlers > 1) problems.push(`${pattern} has ${handlers} handlers: only one class may implement a contract`);
  return problems;
};
