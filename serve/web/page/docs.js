// Renders openapi.json as a page. It loads nothing from other hosts.
"use strict";

function definitions(pairs) {
  const created = element("dl");
  for (const [term, meaning] of pairs) created.append(element("dt", term), element("dd", meaning));
  return created;
}

function schemas(document_, content = {}) {
  const response = content["application/json"]?.schema ?? {};
  const references = response.anyOf ?? [response];
  return references.filter((schema) => schema.$ref).map((schema) => schema.$ref.split("/").pop())
    .map((name) => [name, document_.components.schemas[name]]);
}

function success(operation) {
  return Object.entries(operation.responses).find(([status]) => status.startsWith("2"))[1];
}

function describe(document_, path, method, operation) {
  const section = element("section", "", { class: "path" });
  section.append(element("h2", `${method.toUpperCase()} ${path}`), element("p", operation.description));
  if (operation.requestBody) {
    section.append(element("h3", "Body"), element("p", operation.requestBody.description));
  }
  if (operation.parameters) {
    section.append(element("h3", "Parameters"));
    section.append(definitions(operation.parameters.map(({ name, schema }) => [name, "default" in schema ? `${schema.type}, default ${schema.default}` : schema.type])));
  }
  section.append(element("h3", "Responses"));
  section.append(definitions(Object.entries(operation.responses).map(([status, response]) => [status, response.description])));
  for (const [name, schema] of schemas(document_, success(operation).content)) {
    section.append(element("h3", name));
    section.append(definitions(Object.entries(schema.properties).map(([key, property]) => [key, property.description ?? ""])));
    if (schema.example) section.append(element("pre", JSON.stringify(schema.example, null, 1)));
  }
  return section;
}

async function show() {
  const base = new URL(".", location.href).href;
  document.getElementById("examples").textContent = [
    `curl --data-binary @song.mp3 ${base}v1/predict`,
    `curl -F file=@one.mp3 -F file=@two.flac ${base}v1/predict`,
    `curl --data-binary @song.mp3 "${base}v1/spectrogram?window=2" -o song.png`,
    `curl -H "Authorization: Bearer KEY" ${base}v1/model`,
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
    paths.append(element("p", `Loading openapi.json failed: ${error.message}`));
  }
}

show();
