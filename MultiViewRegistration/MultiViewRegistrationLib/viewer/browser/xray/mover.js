// Sends movements to the server, one message at a time: what comes meanwhile is added up, so that the newest pose wins and nothing queues.

export class Mover {
  // send(movement, last): a promise of the picture after it;   arrived(picture, sequence): that picture, and the number of the newest
  // movement that it shows
  constructor(send, arrived) {
    [this.send, this.arrived] = [send, arrived];
    [this.waiting, this.busy, this.ended, this.begun, this.sequence] = [{}, false, false, false, 0];
  }

  // Returns the movement's number.
  add(kind, ...numbers) {
    const before = this.waiting[kind] || numbers.map(() => 0);
    this.waiting[kind] = numbers.map((number, i) => number + before[i]);
    [this.begun, this.ended] = [true, false];
    this.sequence++;
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
    const moves = Object.keys(this.waiting).length > 0;
    if (this.busy || !(moves || this.ended)) return;
    const [movement, last, sequence] = [this.waiting, this.ended, this.sequence];
    [this.waiting, this.ended, this.busy] = [{}, false, true];
    try {
      this.arrived(await this.send(movement, last), sequence);
    } catch (error) {
      console.error(error);
    } finally {
      this.busy = false;
    }
    this.next();
  }
}
