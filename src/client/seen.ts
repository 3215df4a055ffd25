/**
 * Tells the broker how many event frames were read: what it has sent beyond that counts against the session, and too
 * much of it makes the session slow. So a subscriber that reads nothing is told about, by silence.
 */
import { LIMITS } from "../protocol/limits.ts";
import { Fifo } from "./fifo.ts";

/** Well below what makes a session slow. */
const TELL_BYTES = LIMITS.unseenBytesMax / 8;
const TELL_FRAMES = LIMITS.seenEveryFrames / 2;

export class SeenCounter {
  private readonly tell: (frames: number) => void;
  private connection = 0;
  private frames = 0;
  private toldFrames = 0;
  private untoldBytes = 0;
  /** Of frames that count as unread, in the order of their arrival: the broker takes off the oldest, whichever was read. */
  private readonly sizes = new Fifo<number>();

  constructor(tell: (frames: number) => void) {
    this.tell = tell;
  }

  /** The broker counts anew with each connection. */
  opened(): void {
    this.connection++;
    this.frames = this.toldFrames = this.untoldBytes = 0;
    this.sizes.takeAll();
  }

  /** An event frame came; the function it returns is called once, when all of it was read. */
  arrived(bytes: number): () => void {
    const { connection } = this;
    this.sizes.push(bytes);
    return () => {
      if (connection !== this.connection) return;
      this.frames++;
      this.untoldBytes += this.sizes.shift() ?? 0;
      if (this.frames - this.toldFrames >= TELL_FRAMES || this.untoldBytes >= TELL_BYTES) this.flush();
    };
  }

  flush(): void {
    if (this.frames === this.toldFrames) return;
    this.toldFrames = this.frames;
    this.untoldBytes = 0;
    this.tell(this.frames);
  }
}
