'use strict';
// Bodies and a floor drawn with WebGL 2. Skinning is done by the vertex shader.

const BODY_VERTEX = `#version 300 es
uniform mat4 projection, view, bones[24];
layout(location = 0) in vec3 position;
layout(location = 1) in vec3 normal;
layout(location = 2) in uvec4 joint;
layout(location = 3) in vec4 weight;
out vec3 facing;
void main() {
  mat4 skin = weight.x * bones[joint.x] + weight.y * bones[joint.y] + weight.z * bones[joint.z]
            + weight.w * bones[joint.w];
  facing = mat3(view) * mat3(skin) * normal;
  gl_Position = projection * view * skin * vec4(position, 1.0);
}`;

const BODY_FRAGMENT = `#version 300 es
precision highp float;
uniform vec3 color;
in vec3 facing;
out vec4 result;
void main() {
  vec3 n = normalize(facing);
  float key = max(dot(n, normalize(vec3(0.4, 0.6, 0.8))), 0.0);
  float fill = max(dot(n, normalize(vec3(-0.8, 0.1, 0.4))), 0.0);
  result = vec4(color * (0.36 + 0.12 * n.y + 0.55 * key + 0.16 * fill), 1.0);
}`;

const FLOOR_VERTEX = `#version 300 es
uniform mat4 projection, view;
uniform vec3 centre;
layout(location = 0) in vec2 position;
out float distanceFromCentre;
void main() {
  distanceFromCentre = length(position);
  vec2 snapped = position + round(centre.xz);
  gl_Position = projection * view * vec4(snapped.x, centre.y, snapped.y, 1.0);
}`;

const FLOOR_FRAGMENT = `#version 300 es
precision highp float;
in float distanceFromCentre;
out vec4 result;
void main() {
  result = vec4(0.45, 0.5, 0.56, 0.55 * (1.0 - smoothstep(2.0, 8.0, distanceFromCentre)));
}`;

const FLOOR_EXTENT = 8;

class Scene {
  // Throws where the browser has no WebGL 2.
  constructor(canvas, motion) {
    const gl = canvas.getContext('webgl2', {antialias: true, alpha: false});
    if (!gl) throw new Error('This browser offers no WebGL 2, so the bodies cannot be drawn.');
    this.gl = gl;
    this.canvas = canvas;
    this.motion = motion;
    this.floorHeight = motion.floor();
    this.bodyProgram = this.program(BODY_VERTEX, BODY_FRAGMENT);
    this.floorProgram = this.program(FLOOR_VERTEX, FLOOR_FRAGMENT);
    this.faces = this.buffer(gl.ELEMENT_ARRAY_BUFFER, motion.faces);
    this.boneIndex = this.buffer(gl.ARRAY_BUFFER, motion.boneIndex);
    this.boneWeight = this.buffer(gl.ARRAY_BUFFER, motion.boneWeight);
    this.meshes = motion.people.map(person => this.mesh(person));
    this.floor = this.floorGrid();
    gl.enable(gl.DEPTH_TEST);
    gl.blendFunc(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA);
  }

  program(vertexSource, fragmentSource) {
    const gl = this.gl;
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, vertexSource], [gl.FRAGMENT_SHADER, fragmentSource]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    const places = {};
    for (let i = 0; i < gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS); i++) {
      const name = gl.getActiveUniform(program, i).name;
      places[name.replace('[0]', '')] = gl.getUniformLocation(program, name);
    }
    return {program, places};
  }

  buffer(target, values) {
    const buffer = this.gl.createBuffer();
    this.gl.bindBuffer(target, buffer);
    this.gl.bufferData(target, values, this.gl.STATIC_DRAW);
    return buffer;
  }

  mesh(person) {
    const gl = this.gl;
    const array = gl.createVertexArray();
    gl.bindVertexArray(array);
    this.buffer(gl.ARRAY_BUFFER, person.vertices);
    gl.vertexAttribPointer(0, 3, gl.FLOAT, false, 0, 0);
    this.buffer(gl.ARRAY_BUFFER, vertexNormals(person.vertices, this.motion.faces));
    gl.vertexAttribPointer(1, 3, gl.FLOAT, false, 0, 0);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.boneIndex);
    gl.vertexAttribIPointer(2, 4, gl.UNSIGNED_BYTE, 0, 0);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.boneWeight);
    gl.vertexAttribPointer(3, 4, gl.UNSIGNED_SHORT, true, 0, 0);
    for (let location = 0; location < 4; location++) gl.enableVertexAttribArray(location);
    gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, this.faces);
    gl.bindVertexArray(null);
    return {person, array};
  }

  floorGrid() {
    const gl = this.gl;
    const lines = [];
    for (let i = -FLOOR_EXTENT; i <= FLOOR_EXTENT; i++) {
      // In metre-long pieces: the fading is computed at their ends.
      for (let j = -FLOOR_EXTENT; j < FLOOR_EXTENT; j++) lines.push(i, j, i, j + 1, j, i, j + 1, i);
    }
    const array = gl.createVertexArray();
    gl.bindVertexArray(array);
    this.buffer(gl.ARRAY_BUFFER, new Float32Array(lines));
    gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
    gl.enableVertexAttribArray(0);
    gl.bindVertexArray(null);
    return {array, count: lines.length / 2};
  }

  fitToWindow() {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight].map(n => Math.max(1, Math.round(n * ratio)));
    if (this.canvas.width !== width || this.canvas.height !== height) [this.canvas.width, this.canvas.height] = [width, height];
  }

  // camera: {target, distance, yaw, pitch, fieldOfView}.
  draw(frame, camera) {
    const gl = this.gl;
    this.fitToWindow();
    gl.viewport(0, 0, this.canvas.width, this.canvas.height);
    gl.clearColor(0.93, 0.94, 0.955, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const aspect = this.canvas.width / this.canvas.height;
    const projection = perspective(camera.fieldOfView(aspect), aspect, camera.distance / 50, camera.distance * 4 + 20);
    const view = orbitView(camera.target, camera.distance, camera.yaw, camera.pitch).matrix;
    this.drawFloor(projection, view, camera.target);
    this.use(this.bodyProgram, projection, view);
    for (const {person, array} of this.meshes) {
      const row = person.visible ? person.row(frame) : -1;
      if (row < 0) continue;
      gl.uniformMatrix4fv(this.bodyProgram.places.bones, false, person.bones(row));
      gl.uniform3fv(this.bodyProgram.places.color, person.color);
      gl.bindVertexArray(array);
      const type = this.motion.faces instanceof Uint32Array ? gl.UNSIGNED_INT : gl.UNSIGNED_SHORT;
      gl.drawElements(gl.TRIANGLES, this.motion.faces.length, type, 0);
    }
  }

  drawFloor(projection, view, target) {
    const gl = this.gl;
    this.use(this.floorProgram, projection, view);
    gl.uniform3f(this.floorProgram.places.centre, target[0], this.floorHeight, target[2]);
    gl.bindVertexArray(this.floor.array);
    gl.enable(gl.BLEND);
    gl.drawArrays(gl.LINES, 0, this.floor.count);
    gl.disable(gl.BLEND);
  }

  use({program, places}, projection, view) {
    this.gl.useProgram(program);
    this.gl.uniformMatrix4fv(places.projection, false, projection);
    this.gl.uniformMatrix4fv(places.view, false, view);
  }
}

// Area-weighted; the shader makes them unit length.
function vertexNormals(vertices, faces) {
  const normals = new Float32Array(vertices.length);
  for (let face = 0; face < faces.length; face += 3) {
    const [a, b, c] = [3 * faces[face], 3 * faces[face + 1], 3 * faces[face + 2]];
    const [ux, uy, uz] = [0, 1, 2].map(k => vertices[b + k] - vertices[a + k]);
    const [vx, vy, vz] = [0, 1, 2].map(k => vertices[c + k] - vertices[a + k]);
    const normal = [uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx];
    // The triangles of a body are some square centimetres: in metres their products are too small to normalize well.
    for (const corner of [a, b, c]) for (let k = 0; k < 3; k++) normals[corner + k] += 1e4 * normal[k];
  }
  return normals;
}
