'use strict';
// The recording of data.js: arrays decoded, a row for every frame found, bones for every row.

function decoded(text, type) {
  const bytes = Uint8Array.from(atob(text), character => character.charCodeAt(0));
  return new type(bytes.buffer);
}

// Index of the last value that is not above `wanted`; -1 where all are.
function lastNotAbove(sorted, wanted) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= wanted) low = middle + 1; else high = middle;
  }
  return low - 1;
}

class Person {
  constructor(packed, parents) {
    this.id = packed.id;
    this.color = packed.color;
    this.parents = parents;
    this.visible = true;
    this.vertices = decoded(packed.vertices, Float32Array);
    this.joints = decoded(packed.joints, Float32Array);
    this.frames = decoded(packed.frames, Int32Array);
    this.rotations = decoded(packed.rotations, Int16Array);
    this.places = decoded(packed.places, Float32Array);
  }

  // The row of a frame, or -1 where the person was not found.
  row(frame) {
    const row = lastNotAbove(this.frames, frame);
    return row >= 0 && this.frames[row] === frame ? row : -1;
  }

  place(row) {
    return this.places.subarray(3 * row, 3 * row + 3);
  }

  // Rest space to posed space for every joint, one after the other: what a skinning shader takes.
  bones(row) {
    const count = this.parents.length;
    const world = [];
    const bones = new Float32Array(16 * count);
    for (let joint = 0; joint < count; joint++) {
      const parent = this.parents[joint];
      const at = 4 * (count * row + joint);
      const [x, y, z, w] = this.rotations.subarray(at, at + 4);
      const length = Math.hypot(x, y, z, w);
      const offset = parent < 0 ? this.place(row)
        : [0, 1, 2].map(axis => this.joints[3 * joint + axis] - this.joints[3 * parent + axis]);
      const local = rigid(x / length, y / length, z / length, w / length, offset);
      world.push(parent < 0 ? local : multiply(world[parent], local));
      const home = [0, 1, 2].map(axis => -this.joints[3 * joint + axis]);
      bones.set(multiply(world[joint], rigid(0, 0, 0, 1, home)), 16 * joint);
    }
    return bones;
  }

  // Height of the lowest joint in a row.
  lowest(row) {
    const bones = this.bones(row);
    let lowest = Infinity;
    for (let joint = 0; joint < this.parents.length; joint++) {
      const home = this.joints.subarray(3 * joint, 3 * joint + 3);
      const at = 16 * joint;
      lowest = Math.min(lowest, bones[at + 1] * home[0] + bones[at + 5] * home[1] + bones[at + 9] * home[2] + bones[at + 13]);
    }
    return lowest;
  }
}

class Motion {
  constructor(packed) {
    this.times = decoded(packed.times, Float64Array);
    this.names = packed.names;
    this.width = packed.width;
    this.height = packed.height;
    this.focalLength = packed.focal_length;
    const wide = packed.body.wide_faces;
    this.faces = decoded(packed.body.faces, wide ? Uint32Array : Uint16Array);
    this.boneIndex = decoded(packed.body.joint_index, Uint8Array);
    this.boneWeight = decoded(packed.body.weights, Uint16Array);
    this.people = packed.people.map(person => new Person(person, packed.body.parents));
  }

  get length() {
    return this.times.length;
  }

  frameAt(seconds) {
    return Math.max(0, lastNotAbove(this.times, seconds + 1e-4));
  }

  // A moment inside a frame, so that a video that is sent there shows this frame and not the one before.
  middleOf(frame) {
    const step = frame + 1 < this.length ? this.times[frame + 1] - this.times[frame] : 0;
    return this.times[frame] + Math.min(step / 2, 0.02);
  }

  // Where the visible people of a frame are on average; null where there are none.
  centre(frame) {
    const places = this.people.filter(person => person.visible && person.row(frame) >= 0)
      .map(person => person.place(person.row(frame)));
    return places.length ? [0, 1, 2].map(axis => places.reduce((sum, p) => sum + p[axis], 0) / places.length) : null;
  }

  // Height of the floor: just under the lowest joint of some twenty frames of everyone.
  floor() {
    const heights = [0];
    for (const person of this.people) {
      const step = Math.max(1, Math.floor(person.frames.length / 20));
      for (let row = 0; row < person.frames.length; row += step) heights.push(person.lowest(row));
    }
    return Math.min(...heights) - 0.05;
  }
}
