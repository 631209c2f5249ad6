'use strict';
// Reads the .glb files that the demo writes into what a Motion is made of: skinned bodies and one animation.

const GLB_ARRAYS = {5121: Uint8Array, 5123: Uint16Array, 5125: Uint32Array, 5126: Float32Array};
const GLB_WIDTHS = {SCALAR: 1, VEC3: 3, VEC4: 4, MAT4: 16};

class Glb {
  // Throws where the bytes are not binary glTF 2.0.
  constructor(bytes) {
    const view = new DataView(bytes);
    if (view.byteLength < 20 || view.getUint32(0, true) !== 0x46546C67 || view.getUint32(4, true) !== 2) {
      throw new Error('not a .glb file');
    }
    const length = view.getUint32(12, true);
    this.tree = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 20, length)));
    this.bytes = bytes;
    this.start = 20 + length + 8;
  }

  array(number) {
    const accessor = this.tree.accessors[number];
    const at = this.start + this.tree.bufferViews[accessor.bufferView].byteOffset;
    return new GLB_ARRAYS[accessor.componentType](this.bytes, at, accessor.count * GLB_WIDTHS[accessor.type]);
  }

  // {input, output} arrays of the channel that drives a property of a node.
  channel(node, path) {
    const {channels, samplers} = this.tree.animations[0];
    const found = channels.find(({target}) => target.node === node && target.path === path);
    const {input, output} = samplers[found.sampler];
    return {input: this.array(input), output: this.array(output)};
  }

  person(node) {
    const skin = this.tree.skins[this.tree.nodes[node].skin];
    const primitive = this.tree.meshes[this.tree.nodes[node].mesh].primitives[0];
    const inverse = this.array(skin.inverseBindMatrices);
    const joints = Float32Array.from({length: 3 * skin.joints.length},
                                     (_, i) => -inverse[16 * Math.floor(i / 3) + 12 + i % 3]);
    const turns = skin.joints.map(joint => this.channel(joint, 'rotation').output);
    const {input, output} = this.channel(skin.joints[0], 'translation');
    const rotations = new Float32Array(4 * turns.length * input.length);
    turns.forEach((values, joint) => {
      for (let row = 0; row < input.length; row++) {
        rotations.set(values.subarray(4 * row, 4 * row + 4), 4 * (turns.length * row + joint));
      }
    });
    const light = this.tree.materials[primitive.material].pbrMetallicRoughness.baseColorFactor.slice(0, 3);
    return {
      id: this.tree.nodes[node].name.replace('person', ''), color: light.map(displayed),
      vertices: this.array(primitive.attributes.POSITION), joints, rotations, places: output, times: input, primitive,
      parents: skin.joints.map(joint => skin.joints.findIndex(
        above => (this.tree.nodes[above].children || []).includes(joint))),
    };
  }

  parts() {
    const found = this.tree.nodes.map((node, number) => 'skin' in node ? number : -1).filter(number => number >= 0);
    const people = found.map(node => this.person(node));
    const times = Float64Array.from(new Set(people.flatMap(person => [...person.times]))).sort();
    for (const person of people) person.frames = Int32Array.from(person.times, time => lastNotAbove(times, time));
    const {yfov, aspectRatio} = this.tree.cameras[0].perspective;
    const {indices, attributes} = people[0].primitive;
    return {
      times, names: [], width: aspectRatio, height: 1, focalLength: 0.5 / Math.tan(yfov / 2), people,
      parents: people[0].parents, faces: this.array(indices), boneIndex: this.array(attributes.JOINTS_0),
      boneWeight: Uint16Array.from(this.array(attributes.WEIGHTS_0), weight => Math.round(65535 * weight)),
    };
  }
}

// Linear light to sRGB.
function displayed(value) {
  return value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055;
}
