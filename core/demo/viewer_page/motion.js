'use strict';
// People over time: a row for every frame found, bones for every row. From data.js, or from a .glb (glb.js).

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

// What a Motion is made of, from the RECORDING of data.js.
function unpacked(packed) {
  const body = packed.body;
  return {
    times: decoded(packed.times, Float64Array), names: packed.names,
    width: packed.width, height: packed.height, focalLength: packed.focal_length,
    parents: body.parents, faces: decoded(body.faces, body.wide_faces ? Uint32Array : Uint16Array),
    boneIndex: decoded(body.joint_index, Uint8Array), boneWeight: decoded(body.weights, Uint16Array),
    people: packed.people.map(person => ({
      id: person.id, color: person.color,
      vertices: decoded(person.vertices, Float32Array), joints: decoded(person.joints, Float32Array),
      frames: decoded(person.frames, Int32Array), rotations: decoded(person.rotations, Int16Array),
      places: decoded(person.places, Float32Array),
    })),
  };
}

class Person {
  constructor(parts, parents) {
    Object.assign(this, parts, {parents, visible: true});
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
  constructor(parts) {
    Object.assign(this, parts, {people: parts.people.map(person => new Person(person, parts.parents))});
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
