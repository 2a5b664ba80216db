// The panel of features. Twin: jtviz/views/layer_panels/features.py.

import { h } from "../core/dom";
import type { Panel } from "./scene";

export const features: Panel = () => h("div", { class: "panel-features" });
