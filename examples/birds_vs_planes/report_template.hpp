#pragma once

namespace birds_vs_planes {

/// report.html, built in: a page that shows the JSON which takes the place of {{data}}.
extern const char* const report_template;

}  // namespace birds_vs_planes
