import { ALLOWED, REFUSED } from './system-calls.js';

/** The part of the OCI runtime specification's `linux.seccomp` this profile uses. */
export interface SeccompProfile {
  defaultAction: string;
  defaultErrnoRet: number;
  architectures: string[];
  syscalls: SeccompRule[];
}

export interface SeccompRule {
  names: string[];
  action: 'SCMP_ACT_ALLOW' | 'SCMP_ACT_ERRNO';
  errnoRet?: number;
  args?: { index: number; op: 'SCMP_CMP_EQ' | 'SCMP_CMP_GT' | 'SCMP_CMP_MASKED_EQ'; value: number; valueTwo?: number }[];
}

const EPERM = 1;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;

/** NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. (NEWTIME does not exist for clone: its bit belongs to the exit signal.) */
const CLONE_NAMESPACES = [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000];
const CLONE_NAMESPACE_MASK = CLONE_NAMESPACES.reduce((mask, bit) => mask + bit, 0);

/** UNIX, INET, INET6, NETLINK. AF_VSOCK above all is not namespaced: it would reach the hypervisor from an empty network. */
const SOCKET_FAMILIES = [1, 2, 10, 16];
const SOCKET_FAMILY_MAX = 16;

const PERSONALITIES = [0, 8, 0x20000, 0x20008, 0x40000, 0xffffffff];

const NATIVE: Readonly<Record<string, string>> = { x64: 'SCMP_ARCH_X86_64', arm64: 'SCMP_ARCH_AARCH64' };

/**
 * Default deny with ENOSYS: a name this list or an old libseccomp does not know stays out, and programs fall back as they
 * would on an older kernel. Only the native architecture is listed, so 32-bit and x32 calls are killed.
 *
 * `clone3` is missing on purpose: its flags lie in memory where no filter sees them, and glibc falls back to `clone`.
 */
export function seccompProfile(arch: string = process.arch): SeccompProfile {
  const architecture = NATIVE[arch];
  if (!architecture) throw new Error(`no seccomp profile for ${arch}`);
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: ENOSYS,
    architectures: [architecture],
    syscalls: [allow(ALLOWED), deny(REFUSED, EPERM), ...cloneRules(), ...socketRules(), ...personalityRules()],
  };
}

function allow(names: string[], ...args: NonNullable<SeccompRule['args']>): SeccompRule {
  return { names, action: 'SCMP_ACT_ALLOW', ...(args.length > 0 && { args }) };
}

function deny(names: string[], errnoRet: number, ...args: NonNullable<SeccompRule['args']>): SeccompRule {
  return { names, action: 'SCMP_ACT_ERRNO', errnoRet, ...(args.length > 0 && { args }) };
}

function cloneRules(): SeccompRule[] {
  const masked = (mask: number, value: number) => ({ index: 0, op: 'SCMP_CMP_MASKED_EQ' as const, value: mask, valueTwo: value });
  return [allow(['clone'], masked(CLONE_NAMESPACE_MASK, 0)), ...CLONE_NAMESPACES.map(bit => deny(['clone'], EPERM, masked(bit, bit)))];
}

/** Allowed by equality only: libseccomp compares 64 bits where the kernel looks at the low 32. */
function socketRules(): SeccompRule[] {
  const names = ['socket', 'socketpair'];
  const others = Array.from({ length: SOCKET_FAMILY_MAX }, (_, family) => family).filter(family => !SOCKET_FAMILIES.includes(family));
  return [
    ...SOCKET_FAMILIES.map(value => allow(names, { index: 0, op: 'SCMP_CMP_EQ', value })),
    ...others.map(value => deny(names, EAFNOSUPPORT, { index: 0, op: 'SCMP_CMP_EQ', value })),
    deny(names, EAFNOSUPPORT, { index: 0, op: 'SCMP_CMP_GT', value: SOCKET_FAMILY_MAX }),
  ];
}

function personalityRules(): SeccompRule[] {
  return PERSONALITIES.map(value => allow(['personality'], { index: 0, op: 'SCMP_CMP_EQ', value }));
}
