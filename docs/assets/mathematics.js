// Sets what Arithmatex marked as mathematics, with the KaTeX that lies beside the pages: nothing is fetched.
for (const place of document.querySelectorAll(".arithmatex")) {
  const display = place.tagName === "DIV";
  const source = place.textContent.trim().replace(/^\\[([]|\\[)\]]$/g, "");
  katex.render(source, place, { displayMode: display, throwOnError: false });
}
