/** The first byte of a frame to bound-worker.ts says what becomes of it. */
export const ECHO = 0;
export const INSERT = 1;
export const BROADCAST = 2;
