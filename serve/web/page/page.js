// Sends songs to this server one by one, and shows their genres and spectrograms while they are being classified.
"use strict";

const at = (id) => document.getElementById(id);
const percent = (share) => `${Math.round(100 * share)} %`;
const SHOWN_TAGS = 10;
const TIMEOUT = 60_000; // ms, for requests without a file; the server limits the time of uploads
const SYNTHETIC = "trained on synthetic sounds, not on music"; // as in raygenre/evaluation/training_data.py
const STATES = { waiting: "waiting", sending: "uploading", classifying: "classifying", failed: "no answer" };

let facts = null; // response of /v1/model
let songs = []; // all files that were chosen, in order
let shown = null; // the song that is shown
let running = null; // the song that is being sent

function key() {
  return at("key").value.trim();
}

// Sends the file, if there is one.
async function ask(path, file = null) {
  let response;
  try {
    const headers = key() ? { Authorization: `Bearer ${key()}` } : {};
    const options = file ? { method: "POST", body: file } : { signal: AbortSignal.timeout(TIMEOUT) };
    response = await fetch(path, { headers, ...options });
  } catch (error) {
    throw new RequestError(error.name === "TimeoutError" ? "The server did not respond in time." : "The server is unreachable.");
  }
  if (response.ok) return response;
  throw refusal(response.status, await response.text(), Boolean(key()));
}

function ranked(probabilities) {
  return Object.entries(probabilities).sort(([, first], [, second]) => second - first);
}

function genres() {
  return facts?.genres ?? Object.keys(shown.windows[0]?.probabilities ?? {});
}

function showStatus(text, busy = false) {
  if (at("status").textContent !== text) at("status").textContent = text;
  document.body.classList.toggle("busy", busy);
}

function showError(text) {
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

// The mean of the windows' probabilities: the answer for the part of the song classified so far.
function mean(windows) {
  const sums = {};
  for (const { probabilities } of windows) {
    for (const [genre, share] of Object.entries(probabilities)) sums[genre] = (sums[genre] ?? 0) + share / windows.length;
  }
  return sums;
}

function decoded(base64) {
  return new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], { type: "image/png" });
}

// Returns the spectrogram of a window. The server sends it with the window if it is the network's input; otherwise, it
// must be requested.
async function pictureOf(song, part) {
  if (!part) return { picture: song.file, hasAxes: true }; // the file is a spectrogram
  if (!song.pictures.has(part.number)) {
    const picture = await (await ask(`v1/spectrogram?window=${part.number}`, song.file)).blob();
    song.pictures.set(part.number, { picture, hasAxes: true });
  }
  return song.pictures.get(part.number);
}

async function showSpectrogram(part) {
  const range = part ? `${clock(part.inputStart)} to ${clock(part.end)}` : "the whole picture";
  const subject = `${songs.indexOf(shown)} ${range}`;
  const { dataset } = at("caption");
  if (dataset.of === subject) return;
  dataset.of = subject;
  try {
    const { picture, hasAxes } = await pictureOf(shown, part);
    if (dataset.of !== subject) return;
    URL.revokeObjectURL(at("spectrogram").src);
    at("spectrogram").src = URL.createObjectURL(picture);
    at("frame").classList.toggle("axes", hasAxes);
  } catch (error) {
    if (dataset.of !== subject) return;
    dataset.of = ""; // so that selecting the window again repeats the request
    showError(error.message);
    return;
  }
  showError(shown.error); // not that of an earlier request
  at("spectrogram").alt = `Spectrogram, ${range}: time from left to right, pitch from bottom to top, brighter is louder`;
  const kind = facts?.input === "levels" ? "Input of the network" : "Spectrogram";
  at("caption").textContent = `${kind}, ${range}: time from left to right, pitch from bottom to top, brighter is louder.`;
}

// Shows one window of the song, or the whole song if no window has this index.
function select(index) {
  shown.selected = index;
  shown.showsTags = false;
  const part = shown.windows[index];
  const isWhole = part === undefined;
  [...at("timeline").children].forEach((button, place) => button.setAttribute("aria-pressed", String(place === index)));
  showBars(isWhole ? shown.answer?.probabilities ?? mean(shown.windows) : part.probabilities);
  at("bars-title").textContent = isWhole ? "Probability of each genre" : `From ${clock(part.start)} to ${clock(part.end)}`;
  at("whole").hidden = isWhole;
  at("tags-note").hidden = true;
  at("show-tags").textContent = "Show pretrained tags";
  showSpectrogram(isWhole ? shown.windows[0] ?? withoutOverlap(shown.tags?.windows ?? [])[0] : part);
}

// Shows the most probable tags in place of the genres.
function showTags() {
  select(-1);
  shown.showsTags = true;
  const { tags, pretrained, licence, note } = shown.tags;
  showBars(Object.fromEntries(ranked(tags).slice(0, SHOWN_TAGS)));
  at("bars-title").textContent = `The ${SHOWN_TAGS} most probable tags of ${Object.keys(tags).length}`;
  at("tags-note").textContent = `${note}: predicted by ${pretrained} (${licence} licence), which was trained on 200\u00a0000 songs.`;
  at("tags-note").hidden = false;
  at("show-tags").textContent = "Show the genres";
}

async function toggleTags() {
  const song = shown;
  song.error = "";
  try {
    if (!song.tags) {
      showError("");
      showStatus(`Predicting the tags of ${song.file.name}`, true);
      song.tags = await (await ask("v1/predict?tags=true", song.file)).json();
    }
    song.showsTags = !song.showsTags;
  } catch (error) {
    song.error = error.message;
  }
  if (song === shown) show(song);
}

function play(index) {
  select(index);
  at("player").currentTime = shown.windows[index].start;
  at("player").play().catch(() => { /* the event `error` hides a player that cannot play this file */ });
}

function showLegend() {
  const present = genres().filter((genre) => shown.windows.some((part) => part.genre === genre));
  at("legend").replaceChildren(...present.map((genre) => {
    const entry = element("span", genre);
    paint(entry, genre, genres());
    return entry;
  }));
}

function showWindows() {
  const { windows } = shown;
  at("timeline-part").hidden = windows.length < 2;
  showTimeline(at("timeline"), windows, genres(), play);
  at("begin").textContent = clock(windows[0]?.start ?? 0); // not 0 if the song starts with silence
  at("end").textContent = clock(windows.at(-1)?.end ?? 0);
  showLegend();
}

function showResult() {
  const { answer, windows } = shown;
  at("result").hidden = !answer && !windows.length;
  if (at("result").hidden) return;
  at("name").textContent = shown.file.name;
  at("show-tags").hidden = !facts?.pretrained || !answer || !windows.length; // a picture has no tags
  if (answer?.tags) { // of a server without a champion
    at("genre").textContent = answer.best.slice(0, 3).join(", ");
    at("uncertain").hidden = at("timeline-part").hidden = true;
    showTags();
    return;
  }
  const [[first, firstShare], [second, secondShare] = ["", 0]] = ranked(answer?.probabilities ?? mean(windows));
  at("genre").textContent = `${first}, ${percent(firstShare)}`;
  at("uncertain").hidden = !answer?.uncertain;
  at("uncertain").textContent = answer?.uncertain
    ? `The network is uncertain: ${first} is a guess, ${second} has ${percent(secondShare)}.` : "";
  showWindows();
  if (shown.showsTags) showTags();
  else select(shown.selected);
}

function showProgress() {
  const { state, share, answer, windows } = shown;
  const isRunning = state === "sending" || state === "classifying";
  at("progress-row").hidden = !isRunning;
  if (state === "sending") at("progress").value = share;
  else at("progress").removeAttribute("value"); // indeterminate
  at("progress-text").textContent = state === "sending" ? `${percent(share)} sent`
    : windows.length ? `${clock(windows.at(-1).end)} classified` : "";
  if (isRunning) showStatus(`Classifying ${shown.file.name}`, true);
  else if (!answer) showStatus(state === "waiting" ? `${shown.file.name} is waiting for the files before it` : "");
  else if (answer.tags) showStatus(`Answered by ${answer.pretrained}: ${answer.note}`);
  else {
    const warning = answer.trained_on.kind === "synthetic" ? `, which was ${SYNTHETIC}` : "";
    showStatus(`Answered by ${answer.model.name} ${answer.model.version}${warning}`);
  }
}

function stateOf({ answer, state }) {
  if (!answer) return STATES[state];
  return answer.tags ? answer.best.slice(0, 3).join(", ") : `${answer.genre}, ${percent(answer.confidence)}`;
}

function showList() {
  at("songs").hidden = songs.length < 2;
  at("songs").replaceChildren(...songs.map((song) => {
    const row = element("li");
    const name = element("button", song.file.name, { type: "button", class: "name", "aria-pressed": String(song === shown) });
    name.addEventListener("click", () => show(song));
    row.append(name, element("span", stateOf(song), { class: "state" }));
    if (song.state === "waiting" || song === running) {
      const button = element("button", "Cancel", { type: "button", "aria-label": `Cancel ${song.file.name}` });
      button.addEventListener("click", () => cancel(song));
      row.append(button);
    }
    return row;
  }));
}

function show(song) {
  if (song !== shown) {
    URL.revokeObjectURL(at("player").src);
    if (song.file.type.startsWith("image/")) at("player").removeAttribute("src");
    else at("player").src = URL.createObjectURL(song.file);
    at("player").hidden = song.file.type.startsWith("image/");
    at("timeline").replaceChildren();
  }
  shown = song;
  showError(song.error);
  showProgress();
  showResult();
  showList();
}

function update(song) {
  if (song === shown) show(song);
  else showList();
}

function cancel(song) {
  if (song === running) song.request.cancel();
  else fail(song, new RequestError("Cancelled."));
}

function fail(song, error) {
  song.state = "failed";
  song.status = error.status;
  song.error = error instanceof RequestError ? error.message : `Error in the page: ${error.message}`;
  if (error.status === 401) at("key-row").hidden = false;
  update(song);
}

function add(files) {
  const added = [...files].map((file) => (
    { file, state: "waiting", share: 0, windows: [], pictures: new Map(), answer: null, tags: null, showsTags: false, error: "",
      selected: -1 }));
  if (!added.length) return;
  songs.push(...added);
  show(added[0]);
  run();
}

// Sends the waiting songs one by one.
async function run() {
  while (!running && (running = songs.find((song) => song.state === "waiting"))) {
    try {
      await send(running);
    } catch (error) {
      fail(running, error);
    }
    const done = running;
    running = null;
    update(done);
    if (done.answer && done === shown) at("genre").focus({ preventScroll: true });
  }
}

async function send(song) {
  const { file } = song;
  if (facts && file.size > facts.most_bytes) {
    throw new RequestError(`${file.name} is too large: ${(file.size / 1e6).toFixed(1)} MB; the limit is ${facts.most_bytes / 1e6} MB.`);
  }
  Object.assign(song, { state: "sending", share: 0, windows: [], error: "" });
  song.request = classify(file, key(), {
    onUpload: (share) => {
      Object.assign(song, { share, state: share < 1 ? "sending" : "classifying" });
      if (song === shown) showProgress();
    },
    onWindow: ({ picture, ...part }) => {
      song.state = "classifying";
      if (picture) song.pictures.set(part.number, { picture: decoded(picture), hasAxes: false });
      song.windows = withoutOverlap([...song.windows.map((known) => ({ ...known, start: known.inputStart })), part]);
      if (song === shown) { showProgress(); showResult(); }
    },
  });
  update(song);
  song.answer = await song.request.done;
  if (song.answer.tags) song.tags = song.answer;
  else song.windows = withoutOverlap(song.answer.windows);
  song.state = "done";
}

async function loadModelFacts() {
  try {
    facts = await (await ask("v1/model")).json();
  } catch (error) {
    if (error.status === 401) at("key-row").hidden = false;
    showError(error.message);
    return;
  }
  const { model, genres: names, test_accuracy: accuracy, trained_on: trainedOn } = facts;
  at("image-files").hidden = !facts.takes_images;
  if (!model) {
    at("question").textContent = "What does this song sound like?";
    at("facts").textContent = `No network for your genres is registered yet. Until then, ${facts.pretrained.name}, `
      + `which was trained on 200\u00a0000 songs, describes what a song sounds like: ${facts.note}.`;
    return;
  }
  const tested = accuracy === null ? "" : ` Its test accuracy is ${percent(accuracy)}.`;
  const warning = trainedOn.kind === "synthetic" ? ` It was ${SYNTHETIC}.` : "";
  at("facts").textContent = `The network ${model.name} ${model.version} classifies ${facts.input === "levels" ? "the spectrogram of a song" : "a song"} `
    + `as one of ${names.length} genres: ${names.join(", ")}.${tested}${warning}`;
}

function sendAgain() {
  for (const song of songs) if (song.status === 401) Object.assign(song, { state: "waiting", status: 0, error: "" });
  run();
}

at("file").addEventListener("change", () => { add(at("file").files); at("file").value = ""; });
at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  showError("");
  loadModelFacts().then(() => { if (facts) sendAgain(); });
});
at("sample").addEventListener("click", async () => {
  try {
    add([new File([await (await ask("page/sample.mp3")).blob()], "sample song.mp3", { type: "audio/mpeg" })]);
  } catch (error) {
    showError(error.message);
  }
});
at("cancel").addEventListener("click", () => cancel(shown));
at("whole").addEventListener("click", () => { at("player").pause(); select(-1); });
at("show-tags").addEventListener("click", toggleTags);
at("player").addEventListener("error", () => { at("player").hidden = true; }); // the browser has no decoder for it
at("player").addEventListener("timeupdate", () => {
  const playing = showPosition(at("timeline"), shown.windows, at("player").currentTime);
  if (playing >= 0 && shown.selected >= 0 && playing !== shown.selected && !at("player").paused) select(playing);
});
addEventListener("resize", () => { if (shown) labelTimeline(at("timeline"), shown.windows); });
document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragging"); });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dragging"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  add(event.dataTransfer.files);
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
