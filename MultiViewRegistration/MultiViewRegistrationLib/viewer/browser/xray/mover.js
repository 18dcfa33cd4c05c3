// Sends the pose to the server, one message at a time: the newest that there is by then, so that nothing queues.

import { body } from "./pose.js";

export class Mover {
  // send(world_from_ct, last, bone): a promise of where CT and bone are then;   arrived(answer, sequence): that, and the number of the newest movement
  // that it shows
  constructor(send, arrived) {
    [this.send, this.arrived] = [send, arrived];
    this.moved = null; // the Pose
    [this.waiting, this.ended, this.begun, this.busy, this.sequence] = [false, false, false, false, 0];
  }

  // The pose was moved. Returns the movement's number.
  add() {
    [this.waiting, this.begun, this.ended] = [true, true, false];
    this.sequence++;
    this.moved = body();
    this.moved.held.add(this);
    this.next();
    return this.sequence;
  }

  // The mouse, or the key, goes up.
  end() {
    if (!this.begun) return;
    [this.begun, this.ended] = [false, true];
    this.next();
  }

  async next() {
    if (this.busy || !(this.waiting || this.ended)) return;
    const [waiting, last, sequence, moved] = [this.waiting, this.ended, this.sequence, this.moved];
    [this.waiting, this.ended] = [false, false];
    this.busy = true;
    let answer = null;
    try {
      answer = await this.send(waiting ? moved.matrix : [], last, moved.name);
    } catch (error) {
      console.error(error);
    } finally {
      this.busy = false;
    }
    if (!this.waiting) moved.held.delete(this);
    if (answer) this.arrived(answer, sequence);
    this.next();
  }
}
