import { Rule } from '../validation/rules.js';

/** No halves of surrogate pairs: they have no bytes of their own to be sent as, and jsonb refuses them. */
export const IsWellFormed = () => Rule('wellFormed', value => (/\p{Surrogate}/u.test(String(value)) ? 'must not contain unpaired surrogates' : null));
