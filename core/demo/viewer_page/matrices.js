'use strict';
// 4x4 matrices as WebGL takes them: 16 numbers, column after column.

function multiply(a, b) {
  const out = new Float32Array(16);
  for (let column = 0; column < 4; column++) {
    for (let row = 0; row < 4; row++) {
      let sum = 0;
      for (let k = 0; k < 4; k++) sum += a[4 * k + row] * b[4 * column + k];
      out[4 * column + row] = sum;
    }
  }
  return out;
}

// Vertical field of view in radians; looking down -z.
function perspective(fieldOfView, aspect, near, far) {
  const scale = 1 / Math.tan(fieldOfView / 2);
  const depth = near - far;
  return new Float32Array([scale / aspect, 0, 0, 0, 0, scale, 0, 0, 0, 0, (far + near) / depth, -1,
                           0, 0, 2 * far * near / depth, 0]);
}

// World to camera, for a camera that circles `target` at `distance`. At yaw 0 and pitch 0 it looks down -z.
function orbitView(target, distance, yaw, pitch) {
  const [cy, sy, cp, sp] = [Math.cos(yaw), Math.sin(yaw), Math.cos(pitch), Math.sin(pitch)];
  const right = [cy, 0, -sy];
  const up = [sp * sy, cp, sp * cy];
  const back = [cp * sy, -sp, cp * cy];
  const along = axis => axis[0] * target[0] + axis[1] * target[1] + axis[2] * target[2];
  return {
    right, up,
    matrix: new Float32Array([right[0], up[0], back[0], 0, right[1], up[1], back[1], 0, right[2], up[2], back[2], 0,
                              -along(right), -along(up), -along(back) - distance, 1]),
  };
}

// Rotation (unit quaternion x, y, z, w) followed by a translation.
function rigid(x, y, z, w, translation) {
  return new Float32Array([
    1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w), 0,
    2 * (x * y - z * w), 1 - 2 * (x * x + z * z), 2 * (y * z + x * w), 0,
    2 * (x * z + y * w), 2 * (y * z - x * w), 1 - 2 * (x * x + y * y), 0,
    translation[0], translation[1], translation[2], 1]);
}
