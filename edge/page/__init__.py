"""The local web page: what runs on this gateway, why it waits, and buttons to steer it."""
