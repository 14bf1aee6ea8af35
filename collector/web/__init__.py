"""Pages and API: what the fleet knows, for people and programs; the only part of ours that speaks HTTP as a server of pages."""
