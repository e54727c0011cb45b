import { describe, expect, test } from '@jest/globals';
import { seccompProfile } from '../local/seccomp-profile.js';
import { MOUNT_POINTS } from '../local/template-layout.js';
import { containerBody } from './container.js';
import { engineSeccomp } from './engine-seccomp.js';

const MIB = 1024 * 1024;

interface Body {
  Env: string[];
  Labels: Record<string, string>;
  HostConfig: {
    NetworkMode: string; IpcMode: string; CapDrop: string[]; CapAdd: string[]; SecurityOpt: string[]; ReadonlyRootfs: boolean; Tmpfs: Record<string, string>;
    Mounts: { Source: string; Target: string; ReadOnly: boolean }[]; Memory: number; MemorySwap: number; PidsLimit: number; CpuPeriod: number; CpuQuota: number; Ulimits: { Name: string; Hard: number }[];
    Privileged?: boolean; PidMode?: string; UsernsMode?: string; Devices?: object[];
  };
}

function body(changes: Partial<Parameters<typeof containerBody>[0]> = {}): Body {
  return containerBody({
    image: 'sandbox:1', runtime: 'runc', labels: { 'gatehouse.node': 'n' }, seccomp: engineSeccomp('x64'),
    limits: { memoryBytes: 512 * MIB, cpuMillis: 4_500, pids: 256, diskBytes: 1024 * MIB },
    remapped: true, agentRuntimeDir: '/a', homeDir: '/h', agentDir: '/s', egressDir: '/e', files: { '/etc/passwd': '/f/passwd' }, ...changes,
  }) as Body;
}

describe('the container', () => {
  test('has no network, no capability but three, and gains none', () => {
    expect(body().HostConfig).toMatchObject({ NetworkMode: 'none', IpcMode: 'none', CapDrop: ['ALL'], CapAdd: ['SETUID', 'SETGID', 'KILL'], ReadonlyRootfs: true });
    expect(body().HostConfig.SecurityOpt[0]).toBe('no-new-privileges');
  });

  test('shares nothing with the host', () => {
    const { Privileged, PidMode, UsernsMode, Devices } = body().HostConfig;
    expect([Privileged, PidMode, UsernsMode, Devices]).toEqual([undefined, undefined, undefined, undefined]);
  });

  test('filters system calls as the local driver does, and lets programs fall back where an old engine would forbid', () => {
    const [, given = ''] = body().HostConfig.SecurityOpt;
    const profile = JSON.parse(given.slice('seccomp='.length)) as ReturnType<typeof seccompProfile>;
    expect(profile).toMatchObject({ ...seccompProfile('x64'), syscalls: expect.arrayContaining(seccompProfile('x64').syscalls) });
    expect(profile.syscalls.at(-1)).toMatchObject({ names: expect.arrayContaining(['clone3']), errnoRet: 38 });
  });

  test('mounts nothing of the host writable but the home and the socket directory', () => {
    const { Mounts } = body().HostConfig;
    expect(Mounts.filter(({ ReadOnly }) => !ReadOnly).map(({ Target }) => Target)).toEqual(['/home/user', '/run/gatehouse']);
    expect(Mounts.map(({ Target }) => Target.slice(1)).filter(path => !path.startsWith('etc/')).every(path => MOUNT_POINTS.includes(path))).toBe(true);
  });

  test('has no swap beside its memory, and a bound on every tmpfs in bytes and files', () => {
    const { Memory, MemorySwap, Tmpfs, CpuPeriod, CpuQuota, PidsLimit } = body().HostConfig;
    expect([Memory, MemorySwap, PidsLimit, CpuQuota / CpuPeriod]).toEqual([512 * MIB, 512 * MIB, 256, 4.5]);
    for (const options of Object.values(Tmpfs)) expect(options).toMatch(/size=\d+,nr_inodes=\d+$/);
  });

  test.each([
    [true, [192]],
    [false, []],
  ])('counts processes per user only where the user is its own: %s', (remapped, counts) => {
    expect(body({ remapped }).HostConfig.Ulimits.filter(({ Name }) => Name === 'nproc').map(({ Hard }) => Hard)).toEqual(counts);
  });

  test('carries no variable of the service, and takes those of the image away that would reach the agent', () => {
    expect(body().Env.map(entry => entry.split('=')[0])).toEqual(['PATH', 'LANG', 'GATEHOUSE_AGENT_SOCKET', 'GATEHOUSE_COMMAND_UID', 'GATEHOUSE_READY_FD', 'LD_PRELOAD', 'LD_LIBRARY_PATH', 'NODE_OPTIONS', 'NODE_PATH']);
    expect(body().Env.filter(entry => /^(LD_|NODE_)/.test(entry) && entry.includes('='))).toEqual([]);
  });
});
