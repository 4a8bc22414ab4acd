// Creates an HTML element with text and attributes; used by both pages.
"use strict";

function element(name, text = "", attributes = {}) {
  const created = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) created.setAttribute(key, value);
  created.textContent = text;
  return created;
}
