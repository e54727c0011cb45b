import type { Diagnosis, Kind } from './examine-node.js';
import type { Fact } from './machine-facts.js';

const MARKS: Readonly<Record<Fact['state'], string>> = { fine: 'ok', lesser: 'weak', missing: 'NO', unused: '-' };
const ISOLATIONS = {
  vm: 'a virtual machine each.',
  gvisor: 'gVisor, a kernel of its own for each sandbox.',
  namespace: "namespaces. Sandboxes share the kernel of this machine: a hole in it is a way out. For strangers' code take gVisor, virtual machines, or a machine each.",
};
const HELD: readonly (readonly [feature: string, words: string])[] = [
  ['memory', 'memory'],
  ['cpu', 'processor time'],
  ['pids', 'processes'],
  ['disk-quota', 'disk'],
];
const WIDTH = 14;

/** For a person at a terminal. */
export function printDiagnosis(diagnosis: Diagnosis): string {
  const { driver, template, facts, isolation, kind } = diagnosis;
  const lines = [
    `Sandboxes on this machine: driver ${driver}, template ${template}`,
    '',
    ...facts.flatMap(line),
    ...trial(diagnosis),
    '',
    ...(isolation ? [`Isolation: ${ISOLATIONS[isolation]}`, `Limits:    ${limits(diagnosis)}`, ''] : []),
    ...verdict(diagnosis, kind === 'production' ? 'development' : 'production'),
    ...verdict(diagnosis, kind),
  ];
  return `${lines.join('\n')}\n`;
}

function line({ name, state, says, mend }: Fact): string[] {
  const text = [`  ${MARKS[state].padEnd(5)} ${name.padEnd(WIDTH)} ${says}`];
  return mend && state !== 'fine' ? [...text, `        ${''.padEnd(WIDTH)} mend: ${mend}`] : text;
}

function trial({ trialMs }: Diagnosis): string[] {
  return line(trialMs === null ? { name: 'trial', state: 'missing', says: 'no sandbox ran; why, stands below' } : { name: 'trial', state: 'fine', says: `a sandbox started, ran a command and is gone again, in ${trialMs} ms with all preparations` });
}

function limits({ features, limits: of }: Diagnosis): string {
  const without = HELD.filter(([feature]) => !features.includes(feature)).map(([, words]) => words);
  const sizes = `${of.memoryMB} MiB of memory (an agent may ask for ${of.memoryMBMax}), ${of.cpuMillis} thousandths of a core (${of.cpusMax * 1000}), ${of.diskMB} MiB of disk (${of.diskMBMax}), ${of.pids} processes; at most ${of.sandboxesMax} sandboxes`;
  return without.length === 0 ? `${sizes}. All hold.` : `${sizes}. Nothing holds the limit on ${without.join(', ')}.`;
}

function verdict({ verdicts, kind: own }: Diagnosis, kind: Kind): string[] {
  const { starts, problems, warnings } = verdicts[kind];
  const which = `${kind}${kind === own ? ', which this configuration is for' : ''}`;
  return [`${starts ? 'Starts' : 'Does not start'} in ${which}${problems.length + warnings.length > 0 ? ':' : '.'}`, ...problems.map(problem => `  - ${problem}`), ...warnings.map(warning => `  - (only a warning) ${warning}`)];
}
