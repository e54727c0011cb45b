import { isUuid, uuidV4 } from '@gatehouse/contracts';

/** A name for one stream, unguessable (uuid version 4). Travels in the input of the call that the stream belongs to. */
export const newStreamRef = (): string => uuidV4();

export const isStreamRef = (text: string): boolean => isUuid(text) && text[14] === '4';
