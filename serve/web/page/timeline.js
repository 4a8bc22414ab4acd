// The strip with the genres of a song's windows: colours, labels, and the position of the player.
"use strict";

// Paul Tol's colour-blind safe "muted" scheme, as in raygenre/workflows/timeline.py, so that a genre has the same colour
// on this page and in the plots.
const COLOURS = ["#CC6677", "#332288", "#DDCC77", "#117733", "#88CCEE", "#882255", "#44AA99", "#999933", "#AA4499", "#DDDDDD"];

// Rounds down, as media players and raygenre/workflows/timeline.py do: 240.5 s is 4:00.
function clock(seconds) {
  const whole = Math.floor(seconds);
  const minutes = Math.floor(whole / 60);
  const parts = minutes < 60 ? [minutes] : [Math.floor(minutes / 60), String(minutes % 60).padStart(2, "0")];
  return [...parts, String(whole % 60).padStart(2, "0")].join(":");
}

// Returns the windows without overlap: the last window starts where the previous one ends, as in timeline.py.
// `inputStart` keeps the start of the network's input.
function withoutOverlap(windows) {
  return windows.map((part, index) => (
    { ...part, start: Math.max(part.start, windows[index - 1]?.end ?? 0), inputStart: part.start }));
}

// Returns the index of the window at this time, or -1 in silence.
function windowAt(windows, seconds) {
  return windows.findIndex((part) => part.start <= seconds && seconds < part.end);
}

// Returns black for light colours and white for dark ones.
function textColour(colour) {
  const [red, green, blue] = [1, 3, 5].map((index) => parseInt(colour.slice(index, index + 2), 16) / 255);
  return 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 ? "#000" : "#fff";
}

// Gives an element the colour of a genre; beyond ten genres, the colours are hatched.
function paint(painted, genre, genres) {
  const index = Math.max(0, genres.indexOf(genre));
  painted.style.setProperty("--swatch", COLOURS[index % COLOURS.length]);
  painted.style.setProperty("--ink", textColour(COLOURS[index % COLOURS.length]));
  painted.classList.toggle("hatched", index >= COLOURS.length);
}

// Shows these windows (without overlap) in the strip. Existing buttons are kept, so that they keep the focus while the
// strip grows.
function showTimeline(strip, windows, genres, onClick) {
  while (strip.children.length > windows.length) strip.lastChild.remove();
  windows.forEach((part, index) => {
    let button = strip.children[index];
    if (!button) {
      button = element("button", "", { type: "button", "aria-pressed": "false", tabindex: index ? -1 : 0 });
      button.append(element("span"));
      button.addEventListener("click", () => onClick(index));
      strip.append(button);
    }
    const label = `${clock(part.start)} to ${clock(part.end)}: ${part.genre}, ${Math.round(100 * part.confidence)} %`;
    button.setAttribute("aria-label", label);
    button.title = label;
    paint(button, part.genre, genres);
  });
  labelTimeline(strip, windows);
}

// Labels each run of windows with the same genre in a row of the strip, horizontally or, if the run is narrow,
// vertically. Where neither fits, only the legend names the genre.
function labelTimeline(strip, windows) {
  const buttons = [...strip.children];
  const boxes = buttons.map((button) => button.getBoundingClientRect());
  let first = 0;
  buttons.forEach((button, index) => {
    button.firstChild.textContent = "";
    const next = windows[index + 1];
    if (next?.genre === windows[first].genre && boxes[index + 1].top === boxes[first].top) return; // the run continues
    const label = buttons[first].firstChild;
    label.textContent = windows[first].genre;
    label.className = "";
    const length = label.offsetWidth;
    if (length > boxes[index].right - boxes[first].left) {
      label.className = "upright";
      if (length > boxes[first].height) label.textContent = "";
    }
    first = index + 1;
  });
}

// Marks the window being played, and the playback position in it.
function showPosition(strip, windows, seconds) {
  const playing = windowAt(windows, seconds);
  [...strip.children].forEach((button, index) => {
    button.classList.toggle("playing", index === playing);
    if (index !== playing) return;
    const { start, end } = windows[index];
    button.style.setProperty("--position", `${100 * (seconds - start) / (end - start)}%`);
  });
  return playing;
}
