/** A broker of somebody else's, started beside ours on the same machine. */
export interface Peer {
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}
