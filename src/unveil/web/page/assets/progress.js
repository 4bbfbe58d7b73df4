// <unveil-progress job="ID" photo="URL" kept="SELECTOR">: how far a job is, the estimate of its latest step, the time left, and a way to stop it.

import { Built, duration, element } from "./common.js";

class JobProgress extends Built {
  static observedAttributes = ["job"];

  build() {
    if (this.source) this.source.close();
    this.picture = element("img", { className: "u-stage-image u-waiting", alt: "The photograph as it looks now" });
    if (this.getAttribute("photo")) this.picture.src = this.getAttribute("photo");
    this.bar = element("progress", { className: "u-bar", max: 1 });
    this.bar.setAttribute("aria-label", "Progress");
    this.words = element("span", { className: "u-progress-words", textContent: "Starting" });
    this.words.setAttribute("aria-live", "polite");
    this.stop = element("button", { type: "button", className: "u-button", textContent: "Cancel" });
    this.stop.addEventListener("click", () => this.cancel());
    const line = element("div", { className: "u-progress-line" }, [this.words, this.stop]);
    this.replaceChildren(element("div", { className: "u-frame" }, [this.picture]), this.bar, line);
    this.address = `/v1/jobs/${this.getAttribute("job")}`;
    this.source = new EventSource(`${this.address}/events`);
    this.source.addEventListener("status", (event) => this.tell(JSON.parse(event.data)));
    this.previews = 0;
    const place = this.getAttribute("kept") && document.querySelector(this.getAttribute("kept"));
    if (place && place.remember) place.remember({ job: this.getAttribute("job"), batch: "" });
    this.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  disconnectedCallback() {
    this.source.close();
  }

  async cancel() {
    this.stop.disabled = true;
    this.words.textContent = "Stopping";
    await fetch(this.address, { method: "DELETE" });
  }

  tell(status) {
    if (["done", "failed", "cancelled"].includes(status.state)) {
      this.source.close();
      this.bar.value = 1;
      this.words.textContent = status.state === "done" ? "Finishing" : "Stopped";
      return;
    }
    if (this.stop.disabled) return;
    if (status.state === "waiting") {
      this.bar.removeAttribute("value");
      const ahead = status.position || 0;
      this.words.textContent = ahead === 0 ? "Next in line" : `Waiting: ${ahead} before this one`;
      return;
    }
    const { step, steps, draw, draws, previews } = status.detail;
    if (!step) {
      this.bar.removeAttribute("value");
      this.words.textContent = "Reading the photograph";
      return;
    }
    this.bar.value = status.share;
    const parts = [`Step ${step} of ${steps}`];
    if (draws > 1) parts.push(`draw ${draw} of ${draws}`);
    if (status.share === 1) parts.push("writing");
    else if (status.left !== null && status.share > 0.05) parts.push(`about ${duration(status.left)} left`);
    this.words.textContent = parts.join(" · ");
    if (previews > this.previews) {
      this.previews = previews;
      const next = new Image();
      next.onload = () => {
        this.picture.src = next.src;
        this.picture.classList.remove("u-waiting");
      };
      next.src = `${this.address}/preview?step=${previews}`;
    }
  }
}

customElements.define("unveil-progress", JobProgress);
