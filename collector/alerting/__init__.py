"""Alerts: what is wrong, since when, who knows of it, and when it was over.

`model` is what an alert is, `notice` what is said about it, `reading` what pages and commands ask and how a person acknowledges,
`engine` decides. Refuses to send messages and to lay anything out.
"""
