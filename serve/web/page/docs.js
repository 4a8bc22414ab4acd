// Shows openapi.json to people, with nothing from another host.
"use strict";

function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

function list(pairs) {
  const made = element("dl");
  for (const [term, meaning] of pairs) made.append(element("dt", term), element("dd", meaning));
  return made;
}

function schemas(document_, content = {}) {
  const schema = content["application/json"]?.schema ?? {};
  const references = schema.anyOf ?? [schema];
  return references.filter((one) => one.$ref).map((one) => one.$ref.split("/").pop())
    .map((name) => [name, document_.components.schemas[name]]);
}

function describe(document_, path, method, operation) {
  const part = element("section", "", { class: "path" });
  part.append(element("h2", `${method.toUpperCase()} ${path}`), element("p", operation.description));
  if (operation.requestBody) {
    part.append(element("h3", "Body"), element("p", operation.requestBody.description));
  }
  if (operation.parameters) {
    part.append(element("h3", "Parameters"));
    part.append(list(operation.parameters.map((one) => [one.name, `${one.schema.type}, ${one.schema.default} by default`])));
  }
  part.append(element("h3", "Answers"));
  part.append(list(Object.entries(operation.responses).map(([status, one]) => [status, one.description])));
  for (const [name, schema] of schemas(document_, operation.responses["200"].content)) {
    part.append(element("h3", name));
    part.append(list(Object.entries(schema.properties).map(([key, one]) => [key, one.description ?? ""])));
    if (schema.example) part.append(element("pre", JSON.stringify(schema.example, null, 1)));
  }
  return part;
}

async function show() {
  const here = new URL(".", location.href).href;
  document.getElementById("examples").textContent = [
    `curl --data-binary @song.mp3 ${here}v1/predict`,
    `curl -F file=@one.mp3 -F file=@two.flac ${here}v1/predict`,
    `curl --data-binary @song.mp3 "${here}v1/spectrogram?window=2" -o song.png`,
    `curl -H "Authorization: Bearer KEY" ${here}v1/model`,
  ].join("\n");
  const paths = document.getElementById("paths");
  try {
    const response = await fetch("openapi.json");
    const document_ = await response.json();
    for (const [path, operations] of Object.entries(document_.paths)) {
      for (const [method, operation] of Object.entries(operations)) {
        paths.append(describe(document_, path, method, operation));
      }
    }
  } catch (error) {
    paths.append(element("p", `openapi.json cannot be had: ${error.message}`));
  }
}

show();
