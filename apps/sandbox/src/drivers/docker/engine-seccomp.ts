import { seccompProfile, type SeccompProfile } from '../local/seccomp-profile.js';

const ENOSYS = 38;

/** What programs do in another way where it does not exist, and do not do where it is forbidden. */
const MISSING = ['clone3', 'io_uring_setup', 'io_uring_enter', 'io_uring_register'];

/**
 * The profile as the Docker Engine takes it. Up to 20.10 it drops `defaultErrnoRet`, and what is not listed gets EPERM instead: the
 * calls for which that matters are listed.
 */
export function engineSeccomp(arch?: string): SeccompProfile {
  const profile = seccompProfile(arch);
  return { ...profile, syscalls: [...profile.syscalls, { names: MISSING, action: 'SCMP_ACT_ERRNO', errnoRet: ENOSYS }] };
}
