import { describe, expect, test } from '@jest/globals';
import { seccompProfile } from './seccomp-profile.js';
import { ALLOWED, REFUSED } from './system-calls.js';

const profile = seccompProfile('x64');
const allowedNames = profile.syscalls.filter(rule => rule.action === 'SCMP_ACT_ALLOW').flatMap(rule => rule.names);

describe('the seccomp profile', () => {
  test('denies what it does not name, as a kernel without the call would', () => {
    expect(profile).toMatchObject({ defaultAction: 'SCMP_ACT_ERRNO', defaultErrnoRet: 38 });
  });

  test('lists one architecture, so that 32-bit and x32 calls match none', () => {
    expect(profile.architectures).toEqual(['SCMP_ARCH_X86_64']);
    expect(seccompProfile('arm64').architectures).toEqual(['SCMP_ARCH_AARCH64']);
    expect(() => seccompProfile('sparc')).toThrow('no seccomp profile for sparc');
  });

  test.each(['clone3', 'io_uring_setup', 'ptrace', 'mount', 'unshare', 'bpf', 'open_by_handle_at', 'keyctl', 'userfaultfd', 'perf_event_open'])('never allows %s', name => {
    expect(allowedNames).not.toContain(name);
  });

  test('names no call twice', () => {
    expect(new Set([...ALLOWED, ...REFUSED]).size).toBe(ALLOWED.length + REFUSED.length);
  });

  test('allows clone only without any namespace bit', () => {
    const [allowed, ...refused] = profile.syscalls.filter(rule => rule.names.includes('clone'));
    expect(allowed).toMatchObject({ action: 'SCMP_ACT_ALLOW', args: [{ op: 'SCMP_CMP_MASKED_EQ', value: 0x7e020000, valueTwo: 0 }] });
    expect(refused).toHaveLength(7);
  });

  test('decides every socket family exactly once', () => {
    const rules = profile.syscalls.filter(rule => rule.names.includes('socket')).map(rule => ({ action: rule.action, ...rule.args?.[0] }));
    const equal = rules.filter(rule => rule.op === 'SCMP_CMP_EQ');
    expect(equal.map(rule => rule.value).sort((a = 0, b = 0) => a - b)).toEqual(Array.from({ length: 17 }, (_, family) => family));
    expect(equal.filter(rule => rule.action === 'SCMP_ACT_ALLOW').map(rule => rule.value)).toEqual([1, 2, 10, 16]);
    expect(rules).toContainEqual({ action: 'SCMP_ACT_ERRNO', index: 0, op: 'SCMP_CMP_GT', value: 16 });
  });
});
