"""What env.py finds by `prepend_sys_path = .`"""

GREETING = "hello from the folder of the ini"
