// Sends a song to this server and shows its genre and spectrogram.
"use strict";

const at = (id) => document.getElementById(id);
const percent = (share) => `${Math.round(100 * share)} %`;
// Dark enough for white text. For colour-blind readers, order and labels also distinguish the genres.
const COLOURS = ["#3b528b", "#b5367a", "#1f7a5c", "#a0520a", "#6a3fa0", "#8a6d00", "#0b6e99", "#a32c2c", "#4f5b66", "#2f6b1f"];
const SHOWN_TAGS = 10;
const TIMEOUT = 60_000; // ms, for requests without a file; the server limits the time of uploads
const SYNTHETIC = "trained on synthetic sounds, not on music"; // as in raygenre/evaluation/training_data.py

let file = null; // the current file
let facts = null; // response of /v1/model
let turn = 0; // number of the latest request; responses to earlier ones are ignored
let answer = null; // the current answer
let tags = null; // the pretrained network's tags of the current file, once they are asked for
let pictures = new Map(); // the current file's spectrograms: window number → object URL

class RequestError extends Error {}

async function ask(path, options = {}) {
  const key = at("key").value.trim();
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  let response;
  try {
    const signal = options.body ? undefined : AbortSignal.timeout(TIMEOUT);
    response = await fetch(path, { ...options, headers, signal });
  } catch (error) {
    throw new RequestError(error.name === "TimeoutError" ? "The server did not answer in time." : "The server is unreachable.");
  }
  if (response.ok) return response;
  if (response.status === 401) {
    at("key-row").hidden = false;
    throw new RequestError(key ? "The server rejected this API key." : "This server requires an API key.");
  }
  let detail = `The server responded with ${response.status}.`;
  try {
    detail = (await response.json()).detail;
  } catch { /* a response from a proxy in front of the server may not be JSON */ }
  throw new RequestError(response.status === 429 || response.status === 503 ? `The server is busy (${detail}).` : detail);
}

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

function ranked(probabilities) {
  return Object.entries(probabilities).sort(([, first], [, second]) => second - first);
}

function colour(genre, genres) {
  return COLOURS[genres.indexOf(genre) % COLOURS.length];
}

function showStatus(text, busy = false) {
  at("status").textContent = text;
  document.body.classList.toggle("busy", busy);
}

function showError(text) {
  showStatus("");
  at("error").textContent = text;
  at("error").hidden = !text;
}

function showBars(probabilities) {
  const rows = ranked(probabilities).map(([genre, share], place) => {
    const row = element("li", "", place ? {} : { class: "first" });
    const track = element("span", "", { class: "track", "aria-hidden": "true" });
    const fill = element("div", "", { class: "fill" });
    fill.style.width = `${100 * share}%`;
    track.append(fill);
    row.append(element("span", genre), track, element("span", percent(share), { class: "share" }));
    return row;
  });
  at("bars").replaceChildren(...rows);
}

async function fetchSpectrogram(number) {
  const fetched = pictures; // a different file has a different map
  if (!fetched.has(number)) {
    const response = await ask(`v1/spectrogram?window=${number}`, { method: "POST", body: file });
    const url = URL.createObjectURL(await response.blob());
    if (fetched !== pictures || fetched.has(number)) URL.revokeObjectURL(url); // no longer needed, or fetched twice
    else fetched.set(number, url);
  }
  return fetched.get(number);
}

async function showSpectrogram(part) {
  const mine = turn;
  const range = part ? `${clock(part.inputStart)} to ${clock(part.end)}` : "the whole picture";
  const picture = await fetchSpectrogram(part ? part.number : 0);
  if (mine !== turn) return;
  at("spectrogram").src = picture;
  at("spectrogram").alt = `Spectrogram, ${range}: time from left to right, pitch from bottom to top, brighter is louder`;
  const shown = facts && facts.input === "levels" ? "Input of the network" : "Spectrogram";
  at("caption").textContent = `${shown}, ${range}: time from left to right, pitch from bottom to top, brighter is louder.`;
}

function clearPictures() {
  at("spectrogram").removeAttribute("src");
  for (const url of pictures.values()) URL.revokeObjectURL(url);
  pictures = new Map();
}

// Shows one window of the answer, or the whole song if no window has this index.
function select(index) {
  const part = answer.windows[index];
  const isWhole = part === undefined;
  [...at("timeline").children].forEach((button, place) => button.setAttribute("aria-pressed", String(place === index)));
  showBars(isWhole ? answer.probabilities : part.probabilities);
  at("bars-title").textContent = isWhole ? "Probability of each genre" : `From ${clock(part.start)} to ${clock(part.end)}`;
  at("whole").hidden = isWhole;
  at("tags-note").hidden = true;
  at("show-tags").textContent = "Show pretrained tags";
  showSpectrogram(isWhole ? answer.windows[0] : part).catch((error) => showError(error.message));
}

// Shows the most probable tags in place of the genres.
function showTags() {
  showBars(Object.fromEntries(ranked(tags.tags).slice(0, SHOWN_TAGS)));
  at("bars-title").textContent = `The ${SHOWN_TAGS} most probable tags of ${Object.keys(tags.tags).length}`;
  at("tags-note").textContent = `${tags.note}: named by ${tags.pretrained} (${tags.licence} licence), which was trained on 200\u00a0000 songs.`;
  at("tags-note").hidden = false;
  at("show-tags").textContent = "Show the genres";
}

async function toggleTags() {
  turn += 1;
  const mine = turn;
  const isShown = !at("tags-note").hidden;
  const before = at("status").textContent;
  if (!tags) {
    showError("");
    showStatus(`Naming the tags of ${file.name}`, true);
    const response = await (await ask("v1/predict?tags=true", { method: "POST", body: file })).json();
    if (mine !== turn) return;
    tags = response;
    showStatus(before);
  }
  select(-1);
  if (!isShown) showTags();
}

function showTimeline() {
  const genres = facts?.genres ?? Object.keys(answer.probabilities);
  const buttons = answer.windows.map((part, index) => {
    const label = `${clock(part.start)} to ${clock(part.end)}: ${part.genre}, ${percent(part.confidence)}`;
    const isFirst = index === 0 || answer.windows[index - 1].genre !== part.genre;
    const attributes = { type: "button", "aria-label": label, title: label, "aria-pressed": "false", tabindex: index ? -1 : 0 };
    const button = element("button", isFirst ? part.genre : "", attributes);
    button.style.background = colour(part.genre, genres);
    button.addEventListener("click", () => { turn += 1; select(index); });
    return button;
  });
  at("timeline").replaceChildren(...buttons);
  at("timeline-part").hidden = buttons.length < 2;
  for (const button of buttons) if (button.scrollWidth > button.clientWidth) button.textContent = ""; // the legend names the genre
  at("begin").textContent = clock(answer.windows[0]?.start ?? 0); // not 0 if the song starts with silence
  at("end").textContent = clock(answer.windows.at(-1)?.end ?? 0);
  const present = genres.filter((genre) => answer.windows.some((part) => part.genre === genre));
  at("legend").replaceChildren(...present.map((genre) => {
    const entry = element("span", genre);
    entry.style.setProperty("--swatch", colour(genre, genres));
    return entry;
  }));
}

// Shows the answer of a server without a champion.
function showOnlyTags(response, note) {
  tags = response;
  answer = { windows: withoutOverlap(response.windows), probabilities: response.tags };
  at("name").textContent = file.name + note;
  at("genre").textContent = response.best.slice(0, 3).join(", ");
  at("uncertain").hidden = at("timeline-part").hidden = at("whole").hidden = at("show-tags").hidden = true;
  at("result").hidden = false;
  showTags();
  showSpectrogram(answer.windows[0]).catch((error) => showError(error.message));
  showStatus(`Answered by ${response.pretrained}: ${response.note}`);
  at("genre").focus({ preventScroll: true });
}

function show(response, note) {
  if (response.tags) {
    showOnlyTags(response, note);
    return;
  }
  tags = null;
  answer = { ...response, windows: withoutOverlap(response.windows) };
  const [[first, firstShare], [second, secondShare] = ["", 0]] = ranked(answer.probabilities);
  at("name").textContent = file.name + note;
  at("genre").textContent = `${first}, ${percent(firstShare)}`;
  at("uncertain").hidden = !answer.uncertain;
  at("uncertain").textContent = answer.uncertain
    ? `The network is uncertain: ${first} is a guess, ${second} has ${percent(secondShare)}.` : "";
  at("result").hidden = false; // must be visible before showTimeline measures its labels
  at("show-tags").hidden = !(facts && facts.pretrained) || !response.windows.length; // a picture has no tags
  showTimeline();
  select(-1);
  const warning = answer.trained_on.kind === "synthetic" ? `, which was ${SYNTHETIC}` : "";
  showStatus(`Answered by ${answer.model.name} ${answer.model.version}${warning}`);
  at("genre").focus({ preventScroll: true });
}

async function send(chosen, count = 1) {
  if (!chosen) return;
  const note = count > 1 ? ` (only the first of ${count} files)` : "";
  turn += 1;
  const mine = turn;
  file = chosen;
  clearPictures();
  showError("");
  at("result").hidden = true;
  if (facts && file.size > facts.most_bytes) {
    showError(`${file.name} is too large: ${(file.size / 1e6).toFixed(1)} MB; the limit is ${facts.most_bytes / 1e6} MB.`);
    return;
  }
  showStatus(`Classifying ${file.name}${note}`, true);
  try {
    const response = await (await ask("v1/predict", { method: "POST", body: file })).json();
    if (mine === turn) show(response, note);
  } catch (error) {
    if (mine !== turn) return;
    showError(error instanceof RequestError ? error.message : `Error in the page: ${error.message}`);
  }
}

async function loadModelFacts() {
  try {
    facts = await (await ask("v1/model")).json();
  } catch (error) {
    showError(error.message);
    return;
  }
  const { model, genres, test_accuracy: accuracy, trained_on: trainedOn } = facts;
  at("image-files").hidden = !facts.takes_images;
  if (!model) {
    at("question").textContent = "What does this song sound like?";
    at("facts").textContent = `No network for your genres is registered yet. Until then, ${facts.pretrained.name}, `
      + `which was trained on 200\u00a0000 songs, names what a song sounds like: ${facts.note}.`;
    return;
  }
  const tested = accuracy === null ? "" : ` Its test accuracy is ${percent(accuracy)}.`;
  const warning = trainedOn.kind === "synthetic" ? ` It was ${SYNTHETIC}.` : "";
  at("facts").textContent = `The network ${model.name} ${model.version} classifies ${facts.input === "levels" ? "the spectrogram of a song" : "a song"} `
    + `as one of ${genres.length} genres: ${genres.join(", ")}.${tested}${warning}`;
}

at("file").addEventListener("change", () => { send(at("file").files[0]); at("file").value = ""; });
at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  showError("");
  loadModelFacts().then(() => { if (facts && file) send(file); });
});
at("whole").addEventListener("click", () => { turn += 1; select(-1); });
at("show-tags").addEventListener("click", () => toggleTags().catch((error) => showError(error.message)));
document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragging"); });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dragging"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  send(event.dataTransfer.files[0], event.dataTransfer.files.length);
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
loadModelFacts();
