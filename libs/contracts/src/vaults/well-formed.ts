import { TextRule } from '../validation/rules.js';

/** No halves of surrogate pairs: they have no bytes of their own to be sent as, and jsonb refuses them. */
export const IsWellFormed = () => TextRule('wellFormed', text => (/\p{Surrogate}/u.test(text) ? 'must not contain unpaired surrogates' : null));
