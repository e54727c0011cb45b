import { describe, expect, test } from '@jest/globals';
import { LIMITS_MIN, makeBundle } from './bundle.js';
import { seccompProfile } from './seccomp-profile.js';
import { MOUNT_POINTS } from './template-layout.js';

const MIB = 1024 * 1024;

interface Bundle {
  root: { readonly: boolean };
  process: { noNewPrivileges: boolean; env: string[]; rlimits: { type: string; hard: number }[]; capabilities: Record<string, string[]> };
  mounts: { destination: string; type: string; options: string[] }[];
  linux: { namespaces: { type: string }[]; uidMappings: { containerID: number; hostID: number; size: number }[]; resources: Record<string, object> };
}

function bundle(limits = { memoryBytes: 512 * MIB, cpuMillis: 500, pids: 256, diskBytes: 1024 * MIB }): Bundle {
  return makeBundle({
    template: { rootPath: '/root-of-template', readonlyRoot: true, hostBinds: ['/usr'] },
    seccomp: seccompProfile('x64'),
    limits,
    uidBase: 1_073_741_824,
    cgroupsPath: '/gatehouse/node/slot',
    agentRuntimeDir: '/a',
    homeDir: '/h',
    agentDir: '/s',
    egressDir: '/e',
    readyFd: 3,
  }) as Bundle;
}

describe('the bundle', () => {
  test('never maps an id of the host below the range of the sandbox', () => {
    expect(bundle().linux.uidMappings).toEqual([{ containerID: 0, hostID: 1_073_741_824, size: 65_536 }]);
  });

  test('leaves no namespace shared with the host', () => {
    expect(bundle().linux.namespaces.map(({ type }) => type).sort()).toEqual(['cgroup', 'ipc', 'mount', 'network', 'pid', 'user', 'uts']);
  });

  test('bounds every tmpfs in bytes and in files', () => {
    for (const { options } of bundle().mounts.filter(({ type }) => type === 'tmpfs')) {
      expect(options).toEqual(expect.arrayContaining([expect.stringMatching(/^size=\d+k?$/), expect.stringMatching(/^nr_inodes=\d+$/)]));
    }
  });

  test.each([LIMITS_MIN.memoryBytes, 128 * MIB, 200 * MIB, 4096 * MIB])('leaves the agent 64 MiB of %d when every tmpfs is full', memoryBytes => {
    const sizes = bundle({ ...LIMITS_MIN, memoryBytes }).mounts.flatMap(({ options }) => options.filter(option => /^size=\d+$/.test(option)));
    const total = sizes.reduce((sum, size) => sum + Number(size.slice('size='.length)), 0);
    expect(total + 64 * MIB).toBeLessThanOrEqual(memoryBytes);
  });

  test('mounts nothing of the host writable but the home and the socket directory', () => {
    const writable = bundle().mounts.filter(({ type, options }) => type === 'bind' && !options.includes('ro'));
    expect(writable.map(({ destination }) => destination)).toEqual(['/home/user', '/run/gatehouse']);
    for (const { options } of bundle().mounts.filter(({ type }) => type === 'bind')) expect(options).toEqual(expect.arrayContaining(['nosuid', 'nodev']));
  });

  test('mounts nowhere a template has no place for', () => {
    const destinations = bundle().mounts.map(({ destination }) => destination).filter(path => path !== '/usr' && !path.startsWith('/dev/'));
    expect(MOUNT_POINTS).toEqual(expect.arrayContaining(destinations.map(path => path.slice(1))));
  });

  test('gives the agent three capabilities and commands none to inherit', () => {
    const { capabilities, noNewPrivileges } = bundle().process;
    expect(capabilities).toMatchObject({ bounding: ['CAP_SETUID', 'CAP_SETGID', 'CAP_KILL'], inheritable: [], ambient: [] });
    expect(noNewPrivileges).toBe(true);
  });

  test('keeps processes back for the agent', () => {
    const { process, linux } = bundle();
    expect(linux.resources.pids).toEqual({ limit: 256 });
    expect(process.rlimits).toContainEqual({ type: 'RLIMIT_NPROC', hard: 192, soft: 192 });
  });

  test('turns thousandths of a core into a quota', () => {
    expect(bundle().linux.resources.cpu).toEqual({ quota: 50_000, period: 100_000 });
  });

  test('carries no variable of the service', () => {
    expect(bundle().process.env.map(entry => entry.split('=')[0])).toEqual(['PATH', 'LANG', 'GATEHOUSE_AGENT_SOCKET', 'GATEHOUSE_COMMAND_UID', 'GATEHOUSE_READY_FD']);
  });
});
