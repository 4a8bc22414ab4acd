// The page where a song is dropped: asks this server for its genre and its spectrogram, and shows both.
"use strict";

const at = (id) => document.getElementById(id);
const percent = (share) => `${Math.round(100 * share)} %`;
// Dark enough for white letters, and told apart by the colour-blind together with their order and label.
const COLOURS = ["#3b528b", "#b5367a", "#1f7a5c", "#a0520a", "#6a3fa0", "#8a6d00", "#0b6e99", "#a32c2c", "#4f5b66", "#2f6b1f"];
const WAIT = 60_000; // ms

let file = null; // the one that is shown
let facts = null; // of /v1/model
let turn = 0; // of the request that counts; answers to older ones come too late
let answered = null; // what is shown
let pictures = new Map(); // the file's spectrograms that have been drawn: a stretch's number to its address

class Refusal extends Error {}

async function ask(path, options = {}) {
  const key = at("key").value.trim();
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  let response;
  try {
    response = await fetch(path, { ...options, headers, signal: AbortSignal.timeout(WAIT) });
  } catch (error) {
    throw new Refusal(error.name === "TimeoutError" ? "The server took too long." : "The server cannot be reached.");
  }
  if (response.ok) return response;
  if (response.status === 401) {
    at("key-row").hidden = false;
    throw new Refusal(key ? "The server does not know this API key." : "This server asks for an API key.");
  }
  let detail = `The server answered ${response.status}.`;
  try {
    detail = (await response.json()).detail;
  } catch { /* Ray Serve's own answers are plain text */ }
  throw new Refusal(response.status === 429 || response.status === 503 ? `The server is busy (${detail}).` : detail);
}

function clock(seconds) {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

function ranked(probabilities) {
  return Object.entries(probabilities).sort((one, other) => other[1] - one[1]);
}

function element(name, attributes = {}, text = "") {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

function colour(genre, genres) {
  return COLOURS[genres.indexOf(genre) % COLOURS.length];
}

function say(text, busy = false) {
  at("status").textContent = text;
  document.body.classList.toggle("busy", busy);
}

function complain(text) {
  say("");
  at("error").textContent = text;
  at("error").hidden = !text;
}

function showBars(probabilities) {
  const rows = ranked(probabilities).map(([genre, share], place) => {
    const row = element("li", place ? {} : { class: "first" });
    const track = element("span", { class: "track", "aria-hidden": "true" });
    const fill = element("div", { class: "fill" });
    fill.style.width = `${100 * share}%`;
    track.append(fill);
    row.append(element("span", {}, genre), track, element("span", { class: "share" }, percent(share)));
    return row;
  });
  at("bars").replaceChildren(...rows);
}

async function draw(number) {
  const drawn = pictures; // those of another file are another map
  if (!drawn.has(number)) {
    const response = await ask(`v1/spectrogram?window=${number}`, { method: "POST", body: file });
    const address = URL.createObjectURL(await response.blob());
    if (drawn !== pictures || drawn.has(number)) URL.revokeObjectURL(address); // too late, or drawn twice at once
    else drawn.set(number, address);
  }
  return drawn.get(number);
}

async function showSpectrogram(stretch) {
  const mine = turn;
  const place = stretch ? `${clock(stretch.start)} to ${clock(stretch.end)}` : "the picture";
  const picture = await draw(stretch ? stretch.number : 0);
  if (mine !== turn) return;
  at("spectrogram").src = picture;
  at("spectrogram").alt = `Spectrogram, ${place}: time from left to right, pitch from bottom to top, brighter is louder`;
  at("caption").textContent = `What the network sees: ${place}, time to the right, pitch upwards, bright is loud.`;
}

function forgetPictures() {
  at("spectrogram").removeAttribute("src");
  for (const address of pictures.values()) URL.revokeObjectURL(address);
  pictures = new Map();
}

function choose(number, answer) {
  const stretch = answer.windows[number];
  const whole = stretch === undefined;
  [...at("timeline").children].forEach((button, place) => button.setAttribute("aria-pressed", String(place === number)));
  showBars(whole ? answer.probabilities : stretch.probabilities);
  at("bars-title").textContent = whole ? "How probable each genre is" : `From ${clock(stretch.start)} to ${clock(stretch.end)}`;
  at("whole").hidden = whole;
  showSpectrogram(whole ? answer.windows[0] : stretch).catch((error) => complain(error.message));
}

function showTimeline(answer) {
  const genres = facts ? facts.genres : Object.keys(answer.probabilities);
  const buttons = answer.windows.map((stretch, number) => {
    const label = `${clock(stretch.start)} to ${clock(stretch.end)}: ${stretch.genre}, ${percent(stretch.confidence)}`;
    const first = number === 0 || answer.windows[number - 1].genre !== stretch.genre;
    const attributes = { type: "button", "aria-label": label, title: label, "aria-pressed": "false", tabindex: number ? -1 : 0 };
    const button = element("button", attributes, first ? stretch.genre : "");
    button.style.background = colour(stretch.genre, genres);
    button.addEventListener("click", () => { turn += 1; choose(number, answer); });
    return button;
  });
  at("timeline").replaceChildren(...buttons);
  at("timeline-part").hidden = buttons.length < 2;
  for (const button of buttons) if (button.scrollWidth > button.clientWidth) button.textContent = ""; // the legend has it
  at("begin").textContent = clock(answer.windows[0]?.start ?? 0); // silence is left out
  at("end").textContent = clock(answer.windows.at(-1)?.end ?? 0);
  const heard = genres.filter((genre) => answer.windows.some((stretch) => stretch.genre === genre));
  at("legend").replaceChildren(...heard.map((genre) => {
    const entry = element("span", {}, genre);
    entry.style.setProperty("--swatch", colour(genre, genres));
    return entry;
  }));
}

function show(answer) {
  answered = answer;
  const [[first, share], [second, next] = ["", 0]] = ranked(answer.probabilities);
  at("name").textContent = file.name;
  at("genre").textContent = `${first}, ${percent(share)}`;
  at("doubt").hidden = !answer.uncertain;
  at("doubt").textContent = answer.uncertain
    ? `The network is unsure: ${first} is a guess, and ${second} has ${percent(next)}.` : "";
  at("result").hidden = false; // before the timeline, which measures its labels
  showTimeline(answer);
  choose(-1, answer);
  say(`Answered by ${answer.model.name} ${answer.model.version}`);
  at("genre").focus({ preventScroll: true });
}

async function send(chosen) {
  if (!chosen) return;
  turn += 1;
  const mine = turn;
  file = chosen;
  forgetPictures();
  complain("");
  at("result").hidden = true;
  if (facts && file.size > facts.most_bytes) {
    complain(`${file.name} has ${(file.size / 1e6).toFixed(1)} MB; this server takes up to ${facts.most_bytes / 1e6} MB.`);
    return;
  }
  say(`Listening to ${file.name}`, true);
  try {
    const answer = await (await ask("v1/predict", { method: "POST", body: file })).json();
    if (mine === turn) show(answer);
  } catch (error) {
    if (mine !== turn) return;
    complain(error instanceof Refusal ? error.message : `The page failed: ${error.message}`);
  }
}

async function introduce() {
  try {
    facts = await (await ask("v1/model")).json();
  } catch (error) {
    complain(error.message);
    return;
  }
  const { model, genres, test_accuracy: accuracy, synthetic } = facts;
  const right = accuracy === null ? "" : ` It names ${percent(accuracy)} of its test songs rightly.`;
  const made = synthetic ? " It was trained on synthetic sounds, and knows nothing of music." : "";
  at("facts").textContent = `The network ${model.name} ${model.version} looks at a song's spectrogram and `
    + `knows ${genres.length} genres: ${genres.join(", ")}.${right}${made}`;
}

at("file").addEventListener("change", () => { send(at("file").files[0]); at("file").value = ""; });
at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  complain("");
  introduce().then(() => { if (facts && file) send(file); });
});
at("whole").addEventListener("click", () => { turn += 1; choose(-1, answered); });
document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragging"); });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dragging"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  send(event.dataTransfer.files[0]);
});
at("timeline").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const buttons = [...at("timeline").children];
  const now = buttons.indexOf(document.activeElement);
  const next = event.key === "Home" ? 0 : event.key === "End" ? buttons.length - 1 : now + (step || 0);
  if (next === now || !buttons[next]) return;
  event.preventDefault();
  buttons[now].tabIndex = -1;
  buttons[next].tabIndex = 0;
  buttons[next].focus();
});
introduce();
