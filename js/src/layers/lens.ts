// The panel of lens. Twin: jtviz/views/layer_panels/lens.py.

import { h } from "../core/dom";
import type { Panel } from "./scene";

export const lens: Panel = () => h("div", { class: "panel-lens" });
