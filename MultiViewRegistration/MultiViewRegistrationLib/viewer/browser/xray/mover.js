// Sends the pose to the server, a few messages at a time: the newest that there is by then, so that nothing queues.

import { body } from "./pose.js";

export class Mover {
  // send(world_from_ct, last, bone): a promise of where CT and bone are then;   arrived(answer, sequence): that, and the number of the newest movement
  // that it shows;   room(): how many messages may be on their way
  constructor(send, arrived, room) {
    [this.send, this.arrived, this.room] = [send, arrived, room];
    this.moved = null; // the Pose
    [this.waiting, this.ended, this.begun, this.sequence, this.sent] = [false, false, false, 0, 0];
  }

  get busy() {
    return this.sent > 0;
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
    if (this.sent >= this.room() || !(this.waiting || this.ended)) return;
    const [waiting, last, sequence, moved] = [this.waiting, this.ended, this.sequence, this.moved];
    [this.waiting, this.ended] = [false, false];
    this.sent++;
    let answer = null;
    try {
      answer = await this.send(waiting ? moved.matrix : [], last, moved.name);
    } catch (error) {
      console.error(error);
    } finally {
      this.sent--;
    }
    if (!this.waiting && !this.busy) moved.held.delete(this);
    if (answer) this.arrived(answer, sequence);
    this.next();
  }
}
