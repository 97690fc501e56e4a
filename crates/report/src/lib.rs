//! Findings and tables to terminal text, HTML, SVG and JSON.
