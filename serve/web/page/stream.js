// Sends a file and reads the lines of its answer as they arrive.
"use strict";

class RequestError extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

// Returns the error for an error response. If a proxy in front of the server sent it, its body may not be JSON.
function refusal(status, body, hasKey) {
  if (status === 401) {
    return new RequestError(hasKey ? "The server rejected this API key." : "This server requires an API key.", status);
  }
  let detail = `The server responded with ${status}.`;
  try {
    detail = JSON.parse(body).detail ?? detail;
  } catch { /* only the status is available */ }
  return new RequestError(status === 429 || status === 503 ? `The server is busy (${detail}).` : detail, status);
}

// Returns a promise of the answer and a function that cancels the request. `onUpload` receives the share that has been
// sent, and `onWindow` each window. It uses XMLHttpRequest, because fetch does not report how much of a file has been
// sent.
function classify(file, key, { onUpload, onWindow }) {
  const request = new XMLHttpRequest();
  const done = new Promise((resolve, reject) => {
    let position = 0; // of the next line in the text
    let answer = null;

    function read(end) {
      const lines = request.responseText.slice(position, end).split("\n");
      position = end;
      for (const line of lines.filter(Boolean)) {
        const piece = JSON.parse(line);
        if ("detail" in piece) throw refusal(piece.status, line, Boolean(key));
        if ("number" in piece) onWindow(piece);
        else answer = piece;
      }
    }

    function attempt(work) {
      try {
        work();
      } catch (error) {
        reject(error);
        request.abort();
      }
    }

    request.upload.onprogress = (event) => onUpload(event.total ? event.loaded / event.total : 0);
    request.upload.onload = () => onUpload(1);
    request.onprogress = () => {
      if (request.status === 200) attempt(() => read(Math.max(position, request.responseText.lastIndexOf("\n") + 1)));
    };
    request.onload = () => attempt(() => {
      if (request.status !== 200) throw refusal(request.status, request.responseText, Boolean(key));
      read(request.responseText.length);
      if (!answer) throw new RequestError("The connection ended before the response was complete.");
      resolve(answer);
    });
    request.onerror = () => reject(new RequestError("The server is unreachable."));
    request.onabort = () => reject(new RequestError("Cancelled."));
    request.open("POST", "v1/predict?pictures=true");
    request.setRequestHeader("Accept", "application/x-ndjson");
    if (key) request.setRequestHeader("Authorization", `Bearer ${key}`);
    request.send(file);
  });
  return { done, cancel: () => request.abort() };
}
