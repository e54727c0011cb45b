import { constants } from 'node:os';
import { DriverError } from './driver-error.js';
import type { ProcessExit, ProcessSummary } from './sandbox.driver.js';

/** The agent said something no agent says. It is not ours any more: the sandbox has to end. */
export class AgentViolation extends Error {
  override readonly name = 'AgentViolation';
}

export interface AgentHealth {
  agentVersion: string;
  processes: number;
}

type Json = Record<string, unknown>;

/** @throws {AgentViolation} unless the text is a JSON object */
export function parseObject(text: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new AgentViolation('not JSON', { cause: error });
  }
  return expectObject(value);
}

export function parseHealth(body: Json): AgentHealth {
  return { agentVersion: expectString(body.agentVersion), processes: expectCount(body.processes) };
}

export function parseStarted(text: string): { id: string; pid: number } {
  const body = parseObject(text);
  return { id: expectString(body.id), pid: expectCount(body.pid) };
}

export function parseProcesses(body: Json): ProcessSummary[] {
  if (!Array.isArray(body.processes)) throw new AgentViolation('no list of processes');
  return body.processes.map(expectObject).map(each => ({
    id: expectString(each.id),
    pid: expectCount(each.pid),
    running: each.running === true,
    keep: each.keep === true,
  }));
}

export function parseExit(text: string): ProcessExit {
  const body = parseObject(text);
  return {
    code: body.code === null ? null : expectCount(body.code),
    signal: body.signal === null ? null : expectSignal(body.signal),
    timedOut: body.timedOut === true,
    truncated: body.truncated === true,
    stdoutBytes: expectCount(body.stdoutBytes),
    stderrBytes: expectCount(body.stderrBytes),
  };
}

const REFUSALS: Readonly<Record<string, (cause: Error) => DriverError>> = {
  'bad-cwd': cause => new DriverError('bad-cwd', 'The working directory does not exist', cause),
  'too-big': cause => new DriverError('failed', 'The command and its environment are too large', cause),
  'not-found': cause => new DriverError('failed', 'Not found', cause),
  'disk-full': cause => new DriverError('failed', 'The disk of the sandbox is full', cause),
  busy: cause => new DriverError('unavailable', 'The sandbox has no room for another process', cause),
  gone: cause => new DriverError('failed', 'That output is no longer kept', cause),
};

/** What the agent refused, with our words: its own text is part of the sandbox and goes to the log only. */
export function parseRefusal(text: string): DriverError {
  const { code, message } = parseObject(text);
  const cause = new Error(`agent: ${String(code).slice(0, 64)}: ${String(message).slice(0, 1024)}`);
  return REFUSALS[String(code)]?.(cause) ?? new DriverError('failed', 'The sandbox refused', cause);
}

function expectObject(value: unknown): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new AgentViolation('not an object');
  return value as Json;
}

function expectString(value: unknown): string {
  if (typeof value !== 'string' || value.length > 256) throw new AgentViolation('not a short text');
  return value;
}

function expectCount(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw new AgentViolation('not a count');
  return value;
}

function expectSignal(value: unknown): NodeJS.Signals {
  if (typeof value !== 'string' || !Object.hasOwn(constants.signals, value)) throw new AgentViolation('not a signal');
  return value as NodeJS.Signals;
}
