'use strict';
// The page: video and bodies kept at the same frame, and what the mouse and the keys do.

const element = id => document.getElementById(id);
let motion = new Motion(unpacked(RECORDING));
const state = {frame: 0, playing: false, clock: 0, stamp: 0};
let video = null;
let scene = null;

const FOLLOW_FIELD_OF_VIEW = 0.6;
const camera = {
  mode: 'follow', target: [0, 0, -3], pan: [0, 0, 0], distance: 4.5, yaw: 0, pitch: -0.12,

  follow() {
    Object.assign(this, {mode: 'follow', pan: [0, 0, 0], distance: this.fittingDistance(), yaw: 0, pitch: -0.12});
  },

  // Where the recording's camera was: at the origin, looking down -z.
  recorded() {
    const centre = motion.centre(state.frame);
    const depth = centre ? Math.max(0.5, -centre[2]) : 3;
    Object.assign(this, {mode: 'camera', pan: [0, 0, 0], target: [0, 0, -depth], distance: depth, yaw: 0, pitch: 0});
  },

  fittingDistance() {
    const centre = motion.centre(state.frame);
    if (!centre) return 4.5;
    const spread = motion.people.map(person => person.row(state.frame) < 0 ? 0
      : Math.hypot(...[0, 1, 2].map(axis => person.place(person.row(state.frame))[axis] - centre[axis])));
    return 1.15 * (1.2 + Math.max(...spread)) / Math.tan(FOLLOW_FIELD_OF_VIEW / 2);
  },

  update() {
    const centre = this.mode === 'follow' && motion.centre(state.frame);
    if (centre) this.target = centre.map((value, axis) => value + this.pan[axis]);
  },

  // Vertical, in radians. The recorded camera's grows where the canvas is narrower than the picture.
  fieldOfView(aspect) {
    const extent = this.mode === 'camera'
      ? motion.height / 2 / motion.focalLength * Math.max(1, motion.width / motion.height / aspect)
      : Math.tan(FOLLOW_FIELD_OF_VIEW / 2) * Math.max(1, 1 / aspect);
    return 2 * Math.atan(extent);
  },

  turn(right, down) {
    this.yaw -= 0.008 * right;
    this.pitch = Math.max(-1.5, Math.min(1.5, this.pitch - 0.008 * down));
  },

  move(right, down) {
    const view = orbitView(this.target, this.distance, this.yaw, this.pitch);
    const aspect = element('bodies').clientWidth / element('bodies').clientHeight;
    const step = 2 * this.distance * Math.tan(this.fieldOfView(aspect) / 2) / element('bodies').clientHeight;
    const shift = [0, 1, 2].map(axis => step * (view.up[axis] * down - view.right[axis] * right));
    this.pan = this.pan.map((value, axis) => value + shift[axis]);
    if (this.mode === 'camera') this.target = this.target.map((value, axis) => value + shift[axis]);
  },

  zoom(amount) {
    this.distance = Math.max(0.3, Math.min(500, this.distance * Math.exp(amount)));
  },
};

function showFrame(frame) {
  state.frame = frame;
  camera.update();
  if (scene) scene.draw(frame, camera);
  element('timeline').value = frame;
  const name = motion.names[frame];
  element('counter').textContent = `frame ${frame}` + (name ? ` · ${name}` : '');
  const last = motion.times[motion.length - 1];
  element('clock').textContent = name ? `${frame + 1} / ${motion.length}`
    : `${motion.times[frame].toFixed(2)} / ${last.toFixed(2)} s`;
  document.querySelectorAll('#people li').forEach((item, number) =>
    item.classList.toggle('absent', motion.people[number].row(frame) < 0));
}

function seek(frame) {
  const wanted = Math.max(0, Math.min(motion.length - 1, frame));
  state.clock = motion.times[wanted];
  if (video) video.currentTime = motion.middleOf(wanted);
  showFrame(wanted);
}

function setPlaying(playing) {
  state.playing = playing && motion.length > 1;
  state.stamp = performance.now();
  element('play').textContent = state.playing ? 'Pause' : 'Play';
  if (video && state.playing) video.play().catch(() => {});
  if (video && !state.playing) video.pause();
  if (state.playing) requestAnimationFrame(tick);
}

function tick(now) {
  if (!state.playing) return;
  if (video) {
    state.clock = video.currentTime;
  } else {
    state.clock += (now - state.stamp) / 1000;
    const step = motion.times[1] - motion.times[0];
    if (state.clock > motion.times[motion.length - 1] + step) state.clock = motion.times[0];
  }
  state.stamp = now;
  const frame = motion.frameAt(state.clock);
  if (frame !== state.frame) showFrame(frame);
  requestAnimationFrame(tick);
}

function showMedia() {
  const {kind, file} = RECORDING.media;
  element('media').hidden = !kind;
  if (kind === 'picture') {
    const picture = element('media').appendChild(document.createElement('img'));
    picture.src = file;
  } else if (kind === 'video') {
    video = element('media').appendChild(document.createElement('video'));
    Object.assign(video, {muted: true, loop: true, playsInline: true, preload: 'auto', src: file});
    video.onerror = () => {
      video = null;
      element('media').hidden = true;
      say('This browser cannot play the video; the bodies play without it.');
      showFrame(state.frame);
    };
  }
}

function listPeople() {
  for (const person of motion.people) {
    const item = element('people').appendChild(document.createElement('li'));
    const label = item.appendChild(document.createElement('label'));
    const box = label.appendChild(document.createElement('input'));
    const swatch = label.appendChild(document.createElement('span'));
    Object.assign(box, {type: 'checkbox', checked: true});
    box.onchange = () => { person.visible = box.checked; showFrame(state.frame); };
    swatch.className = 'swatch';
    swatch.style.background = cssColor(person);
    label.append(`Person ${person.id}`);
  }
  if (!motion.people.length) say('Nobody was found in this recording.');
}

const cssColor = person => `rgb(${person.color.map(value => Math.round(255 * value)).join(' ')})`;

// A strip a person under the timeline: coloured where the person was found.
function drawPresence() {
  const canvas = element('presence');
  [canvas.width, canvas.height] = [Math.max(1, canvas.clientWidth), 12];
  const context = canvas.getContext('2d');
  const height = canvas.height / Math.max(1, motion.people.length);
  const step = canvas.width / motion.length;
  motion.people.forEach((person, number) => {
    context.fillStyle = cssColor(person);
    for (const frame of person.frames) context.fillRect(frame * step, number * height, Math.max(1, step + 0.6), Math.max(1, height - 1));
  });
}

function say(message) {
  element('message').textContent = message;
}

function choose(mode) {
  camera[mode]();
  element('follow').classList.toggle('chosen', mode === 'follow');
  element('camera').classList.toggle('chosen', mode === 'recorded');
  showFrame(state.frame);
}

function listenToPointer(canvas) {
  let held = null;
  canvas.onpointerdown = event => {
    canvas.setPointerCapture(event.pointerId);
    held = [event.clientX, event.clientY];
  };
  canvas.onpointermove = event => {
    if (!held) return;
    const [right, down] = [event.clientX - held[0], event.clientY - held[1]];
    held = [event.clientX, event.clientY];
    if (event.shiftKey || event.buttons === 2) camera.move(right, down); else camera.turn(right, down);
    showFrame(state.frame);
  };
  canvas.onpointerup = canvas.onpointercancel = () => { held = null; };
  canvas.oncontextmenu = event => event.preventDefault();
  canvas.ondblclick = () => choose('follow');
  canvas.addEventListener('wheel', event => {
    event.preventDefault();
    camera.zoom(0.0012 * event.deltaY);
    showFrame(state.frame);
  }, {passive: false});
}

function listenToKeys() {
  document.onkeydown = event => {
    if (event.target.matches('button, input[type=checkbox]')) return;
    const actions = {
      ' ': () => setPlaying(!state.playing),
      ArrowLeft: () => seek(state.frame - 1),
      ArrowRight: () => seek(state.frame + 1),
      Home: () => seek(0),
      End: () => seek(motion.length - 1),
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  };
}

// Everything on the page that belongs to one recording.
function show(title) {
  element('title').textContent = document.title = title;
  element('timeline').max = Math.max(0, motion.length - 1);
  element('people').replaceChildren();
  try {
    scene = new Scene(element('bodies'), motion);
  } catch (error) {
    say(error.message);
  }
  listPeople();
  drawPresence();
  // The first frame with somebody in it.
  state.frame = Math.min(motion.length - 1, ...motion.people.map(person => person.frames[0]));
  choose('follow');
  seek(state.frame);
}

async function openGlb(file) {
  try {
    motion = new Motion(new Glb(await file.arrayBuffer()).parts());
  } catch (error) {
    say(`${file.name} is not a .glb that the demo wrote.`);
    return;
  }
  setPlaying(false);
  video = null;
  element('media').replaceChildren();
  element('media').hidden = true;
  say('');
  show(file.name);
}

function start() {
  showMedia();
  show(RECORDING.title);
  element('timeline').oninput = event => { setPlaying(false); seek(Number(event.target.value)); };
  element('play').onclick = () => setPlaying(!state.playing);
  element('follow').onclick = () => choose('follow');
  element('camera').onclick = () => choose('recorded');
  element('open').onchange = event => openGlb(event.target.files[0]);
  listenToPointer(element('bodies'));
  listenToKeys();
  window.onresize = () => { drawPresence(); showFrame(state.frame); };
}

start();
