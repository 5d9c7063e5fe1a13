"""What the doctor says: for each code a sentence, and the mend of what is not in order."""

from typing import Any

from ui.strings import error_sentence
from web.doctor.findings import Finding

TITLES = {
    "en": {
        "settings": "Settings",
        "switches": "Switches",
        "versions": "Versions",
        "sqlite": "SQLite",
        "disk": "Disk",
        "port": "Port",
        "clock": "Clock",
        "database_clock": "Clock",
        "secrets": "Secrets",
        "database": "Database",
        "copy": "Copy",
        "pictures": "Pictures",
        "models": "Models",
        "engines": "Engines",
        "hub": "Hub",
        "proxies": "Proxies",
        "traces": "Traces",
        "well": "Everything is in order.",
        "warned": "The app can run; {warn} to look at.",
        "failed": "{fail} to mend, {warn} to look at.",
        "mend": "Mend",
    },
    "zh": {
        "settings": "设置",
        "switches": "开关",
        "versions": "版本",
        "sqlite": "SQLite",
        "disk": "磁盘",
        "port": "端口",
        "clock": "时钟",
        "database_clock": "时钟",
        "secrets": "密钥",
        "database": "数据库",
        "copy": "副本",
        "pictures": "图片",
        "models": "模型",
        "engines": "推理服务",
        "hub": "Hub",
        "proxies": "代理",
        "traces": "追踪",
        "well": "一切正常。",
        "warned": "可以运行；有 {warn} 处需要留意。",
        "failed": "有 {fail} 处需要修复，{warn} 处需要留意。",
        "mend": "修复",
    },
}

# Code: what is so, and how to mend it; the mend is empty where all is well.
Sentences = dict[str, tuple[str, str]]

ENGLISH: Sentences = {
    "settings_ok": ("{count} are set; the others have their defaults", ""),
    "setting_unknown": ("{name} is no setting and does nothing", "Perhaps {near} was meant."),
    "setting_bad": ("{name}: {reason}", "See docs/settings.md for what it takes."),
    "switches_ok": ("none of the {count} that open something is set", ""),
    "switch_share": (
        "{name} is set: Gradio would open a public tunnel to this app",
        "Unset {name}; put a proxy with TLS in front instead.",
    ),
    "switch_files": (
        "{name} is set: Gradio would serve these files to everybody",
        "Unset {name}.",
    ),
    "switch_mcp": (
        "{name} is set: programs could call the pages' functions as tools",
        "Unset {name}.",
    ),
    "switch_vibe": ("{name} is set: visitors could edit the app's code", "Unset {name}."),
    "switch_reload": (
        "{name} is set: code is loaded again while the app runs",
        "Unset {name}; it is for development.",
    ),
    "switch_origins": (
        "{name} is set: pages of any origin are believed",
        "Unset {name}; it is for development.",
    ),
    "switch_debug": (
        "{name} is set: errors are shown with what was sent",
        "Unset {name}; it is for development.",
    ),
    "switch_history": (
        "{name} is set: Gradio keeps what visitors send, whatever they agreed to",
        "Unset {name}.",
    ),
    "switch_profiling": (
        "{name} is set: anybody can read how long each step takes",
        "Unset {name}.",
    ),
    "switch_workers": (
        "{name} is set: several processes would write one database",
        "Unset {name}; for more processes see docs/running.md.",
    ),
    "switch_analytics": (
        "{name} is set: Gradio reports how it is used to its makers",
        "Unset {name}, or set it to False.",
    ),
    "switch_otel": (
        "{name} is set: FastAPI would send exceptions with what visitors wrote",
        "Unset {name}; GENLOOP_TRACES_ENDPOINT sends traces without that.",
    ),
    "versions_ok": ("Python {python}; {count} packages looked at", ""),
    "python_other": (
        "Python {version} is not one that GenLoop was tested with",
        "Install Python 3.12 (or 3.11) and make .venv again.",
    ),
    "package_missing": ("{name} is not installed ({wanted} is wanted)", "Run make install."),
    "package_other": (
        "{name} is at {version}; this version was tested with {wanted}",
        "Run make install.",
    ),
    "sqlite_ok": ("version {version}, free of a fault that older ones have in WAL mode", ""),
    "sqlite_old": (
        "version {version} is older than {wanted}: two processes at once may corrupt the database",
        "Install the package pysqlite3 (it has wheels for Linux), or let one process alone use it.",
    ),
    "disk_ok": ("{free} are free; a write is safe after {sync} ms", ""),
    "disk_no_folder": (
        "{path} is no folder",
        "Let GENLOOP_DATA_DIR name a folder on a local disk.",
    ),
    "disk_network": (
        "{path} lies on a network, bucket or shared mount ({kind}), where SQLite loses data",
        "Put GENLOOP_DATA_DIR on a local disk and let GENLOOP_REPLICA name this place, or use "
        "PostgreSQL.",
    ),
    "disk_memory": (
        "{path} lies in memory ({kind}): a restart of the machine loses everything",
        "Put GENLOOP_DATA_DIR on a disk, or set GENLOOP_REPLICA.",
    ),
    "disk_little": ("only {free} are free at {path}", "Make room, or use a larger disk."),
    "disk_unwritable": (
        "{path} cannot be written to: {reason}",
        "Give it to the user that the app runs as (in the container: uid 1000).",
    ),
    "disk_slow": (
        "a write is safe only after {sync} ms, and so long each visitor waits for “Saved”; "
        "{free} are free",
        "Use a faster disk for GENLOOP_DATA_DIR (a local SSD).",
    ),
    "port_free": ("{host}:{port} is free", ""),
    "port_ours": ("GenLoop answers on port {port} already", ""),
    "port_taken": (
        "another program listens on port {port}",
        "End it, or choose another GENLOOP_PORT.",
    ),
    "port_refused": (
        "the app cannot listen on {host}:{port}: {reason}",
        "Let GENLOOP_HOST be an address of this machine (127.0.0.1 or 0.0.0.0), and GENLOOP_PORT "
        "a number from 1024.",
    ),
    "clock_ok": ("{now}; it goes steadily", ""),
    "clock_past": (
        "it says {now}, which is in the past: certificates will not be believed",
        "Set the clock (timedatectl set-ntp true).",
    ),
    "clock_jumps": (
        "within a moment it went {seconds} s apart from the steady clock",
        "Let it be slewed, not set (chrony), or give the virtual machine more time.",
    ),
    "clock_unsteady": (
        "this system has no clock that only goes forward",
        "Rate limits and waiting times may be wrong; use another system.",
    ),
    "clock_agrees": ("the database's clock agrees", ""),
    "clock_apart": (
        "it is {seconds} s apart from the database's",
        "Let both machines follow a time server (timedatectl set-ntp true).",
    ),
    "clock_back": (
        "the newest row is {seconds} s in the future: the clock was set back",
        "Set the clock right; rows are in order by their numbers nevertheless.",
    ),
    "secrets_ok": ("kept in the data folder, for nobody else to read", ""),
    "secrets_new": ("they are made at the first start", ""),
    "secrets_open": (
        "{path} can be read by others (mode {mode})",
        "Run chmod 600 on it, and let GenLoop make a new one if others use this machine.",
    ),
    "secrets_broken": (
        "{path} holds no secret",
        "Put the old one back from a backup; or delete it, and every visitor is a stranger.",
    ),
    "secrets_folder": (
        "everybody may write to {path}, and so exchange its secrets",
        "Run chmod 700 on it.",
    ),
    "secrets_env": ("{path} holds secrets and can be read by others", "Run chmod 600 on it."),
    "secrets_short": (
        "GENLOOP_SECRET has only {count} characters",
        "Take 32 random ones or more (python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        "); with a new one every visitor is a stranger.",
    ),
    "secrets_lost": (
        "GENLOOP_SECRET is not set, so it is lost with this disk, and with it who the visitors are",
        "Set GENLOOP_SECRET to what stands in the file `secret` of the data folder.",
    ),
    "database_new": ("{path} is made at the first start", ""),
    "database_whole": ("every page is right, and every row has what it refers to", ""),
    "database_postgresql": ("PostgreSQL {version} answers", ""),
    "database_unwritable": (
        "{path} cannot be written to",
        "Give it to the user that the app runs as.",
    ),
    "database_port": (
        "a Space cannot reach port {port} outside",
        "Let the database listen on 443 or 8080.",
    ),
    "database_unusable": (
        "{name} cannot be used: {reason}",
        "Look at DATABASE_URL and whether the server runs; of a damaged file put a backup in its "
        "place (python -m db.restore --help).",
    ),
    "database_damaged": (
        "it is damaged: {reason}",
        "Stop the app, keep the file, and put a backup or the copy in its place (python -m "
        "db.restore --help).",
    ),
    "database_orphans": (
        "{count} rows refer to something that is gone (in {tables})",
        "Put a backup in its place (python -m db.restore --help), or remove these rows.",
    ),
    "database_forgets": (
        "PostgreSQL runs with {name}=off: what was acknowledged may be lost in a power cut",
        "Set {name} to on in postgresql.conf.",
    ),
    "database_encoding": (
        "its encoding is {encoding}: not every text can be kept",
        "Make a database with ENCODING 'UTF8' and move to it.",
    ),
    "database_unchecked": (
        "{count} of its rules were never checked against the rows that are there",
        "Run ALTER TABLE … VALIDATE CONSTRAINT for them.",
    ),
    "schema_ok": ("its schema ({revision}) is that of this version", ""),
    "schema_none": ("it has no tables yet; they are made at the start", ""),
    "schema_older": (
        "its schema is {revision}, this version has {head}",
        "The next start brings it up to date; make a backup first (python -m db.backup).",
    ),
    "schema_newer": (
        "its schema {revision} is of a later version of GenLoop",
        "Install the version that made it, or put a backup in its place.",
    ),
    "copy_none": ("GENLOOP_REPLICA names no place; docs/durability.md says when one is needed", ""),
    "copy_none_on_space": (
        "a Space loses its disk at every restart, and GENLOOP_REPLICA names no place for a copy",
        "Set GENLOOP_REPLICA to hf://buckets/OWNER/NAME or hf://datasets/OWNER/NAME.",
    ),
    "copy_ok": ("{place} is in reach; the last mark is of {at}", ""),
    "copy_empty": ("{place} is in reach and empty", ""),
    "copy_rebuilds": ("the database is rebuilt from it at the start", ""),
    "copy_unusable": (
        "{reason}",
        "Look at GENLOOP_REPLICA, its token and the network; docs/durability.md has the forms.",
    ),
    "copy_same_disk": (
        "{place} lies on the disk of the database: both are lost together",
        "Choose another disk or machine for GENLOOP_REPLICA.",
    ),
    "copy_other_secret": (
        "{place} is the copy of an app with another secret",
        "Set GENLOOP_SECRET to the old one, or visitors cannot see and erase what they left.",
    ),
    "copy_foreign": (
        "it is the copy of another database, so nothing is copied to it",
        "Choose an empty place for GENLOOP_REPLICA, or start with an empty database to rebuild it.",
    ),
    "copy_behind": (
        "{rows} rows have waited for it for up to {seconds} s",
        "See whether the app runs, and what it says of copying in its log and the owner's area.",
    ),
    "pictures_folder": ("they are files in {path}", ""),
    "pictures_unwritable": (
        "nothing can be written into {path}",
        "Let GENLOOP_MEDIA_DIR name a folder that belongs to the user that the app runs as.",
    ),
    "pictures_ok": (
        "{place} took one, gave it back and removed it ({milliseconds} ms in all)",
        "",
    ),
    "pictures_unusable": (
        "{reason}",
        "Look at GENLOOP_MEDIA_DIR; for s3:// run pip install -r requirements-s3.txt.",
    ),
    "pictures_away": (
        "{reason}",
        "Make the bucket, or look at GENLOOP_MEDIA_DIR, the network, AWS_ENDPOINT_URL and the key.",
    ),
    "pictures_refused": (
        "{reason}",
        "Let the key list the bucket (s3:ListBucket), and read, write and delete in this folder of "
        "it (s3:GetObject, s3:PutObject, s3:DeleteObject).",
    ),
    "pictures_versions": (
        "{place} keeps old versions, and with them what visitors erase",
        "Let a lifecycle rule of the bucket remove versions that are not current.",
    ),
    "device_ok": ("they run on {device}, in {dtype}", ""),
    "device_none": ("GENLOOP_DEVICE={device}: {reason}", "Set GENLOOP_DEVICE=auto."),
    "model_ok": ("{model}: safe to load, and whole (sha256 {sha256}…)", ""),
    "model_changed": (
        "{model}: other weights (sha256 {sha256}…) than those that made outputs before",
        "They count as a new version; put versions into folders of their own to tell them apart.",
    ),
    "model_not_here": (
        "{model}: not on this machine yet; it is fetched at the start",
        "Fetch it before (hf download), or see that the Hub can be reached then.",
    ),
    "model_torn": (
        "{model}: {file} is not whole ({reason})",
        "Copy or fetch the weights again.",
    ),
    "model_unusable": ("{problem}", "Look at {setting}."),
    "engines_none": ("none is named", ""),
    "engine_ok": ("{model}: {endpoint} answers ({milliseconds} ms)", ""),
    "engine_unasked": ("{model}: {endpoint} has no health to ask for; requests will tell", ""),
    "engine_unlisted": (
        "{model}: {endpoint} answers, and does not list this model",
        "Compare the name after # with what the engine serves (/v1/models).",
    ),
    "engine_bad": ("{reason}", "See docs/engines.md for how an engine is named."),
    "engine_unreachable": (
        "{model}: {endpoint} cannot be reached",
        "Start it, or look at its address, at firewalls and proxies.",
    ),
    "engine_key": (
        "{model}: {endpoint} does not accept the key",
        "Name the variable that holds the right key with ?key=VARIABLE.",
    ),
    "engine_failed": ("{model}: {endpoint} answers with errors", "Look into the engine's log."),
    "engine_answer": (
        "{model}: {endpoint} sends something that no engine of this kind does",
        "Look at the address: it ends with /v1.",
    ),
    "hub_unused": ("nothing needs it", ""),
    "hub_public": ("no token; the models must be public", ""),
    "hub_ok": ("the token of {name} is good (for: {needs})", ""),
    "hub_no_token": ("there is no token, and {needs} needs one", "Set HF_TOKEN."),
    "hub_refused": ("the Hub does not accept the token", "Make a new one, and set HF_TOKEN."),
    "hub_read_only": (
        "the token of {name} may only read, and copies and exports have to be written",
        "Make a fine-grained token that may write to that one repository or bucket.",
    ),
    "hub_offline": ("HF_HUB_OFFLINE is set: the token was not tried", "Unset it to try."),
    "hub_away": ("the Hub cannot be reached ({reason})", "Look at the network and the proxies."),
    "proxies_none": ("none is set", ""),
    "proxies_some": ("the app speaks through those for {schemes}", ""),
    "proxies_near": (
        "{host} is near, and would be asked through the proxy",
        "Add {host} to NO_PROXY.",
    ),
    "proxies_socks": (
        "a SOCKS proxy is set, and the package that speaks to one is not installed",
        "Install socksio, or use an HTTP proxy.",
    ),
    "traces_none": ("none are sent", ""),
    "traces_ok": ("somebody listens at GENLOOP_TRACES_ENDPOINT", ""),
    "traces_packages": (
        "GENLOOP_TRACES_ENDPOINT is set, and the packages that send traces are missing",
        "Run pip install -r requirements-otel.txt.",
    ),
    "traces_away": (
        "nobody listens at GENLOOP_TRACES_ENDPOINT ({reason})",
        "Start the collector; until then traces are dropped.",
    ),
}

CHINESE: Sentences = {
    "settings_ok": ("设置了 {count} 项，其余为默认值", ""),
    "setting_unknown": ("{name} 不是任何设置，不起作用", "也许是想写 {near}。"),
    "setting_bad": ("{name}：{reason}", "可用的值见 docs/settings.md。"),
    "switches_ok": ("{count} 个会打开缺口的开关都没有设置", ""),
    "switch_share": (
        "设置了 {name}：Gradio 会为本应用打开一条公共隧道",
        "取消 {name}；请改用前置的 TLS 代理。",
    ),
    "switch_files": ("设置了 {name}：Gradio 会把这些文件公开给所有人", "取消 {name}。"),
    "switch_mcp": ("设置了 {name}：程序可以把页面的函数当作工具调用", "取消 {name}。"),
    "switch_vibe": ("设置了 {name}：访客可以修改应用的代码", "取消 {name}。"),
    "switch_reload": ("设置了 {name}：运行中会重新加载代码", "取消 {name}；它只用于开发。"),
    "switch_origins": ("设置了 {name}：任何来源的页面都会被信任", "取消 {name}；它只用于开发。"),
    "switch_debug": ("设置了 {name}：出错时会显示发送的内容", "取消 {name}；它只用于开发。"),
    "switch_history": ("设置了 {name}：不论访客是否同意，Gradio 都会保存其内容", "取消 {name}。"),
    "switch_profiling": ("设置了 {name}：任何人都能看到每一步的耗时", "取消 {name}。"),
    "switch_workers": (
        "设置了 {name}：多个进程会写同一个数据库",
        "取消 {name}；需要更多进程时见 docs/running.md。",
    ),
    "switch_analytics": (
        "设置了 {name}：Gradio 会向其作者报告使用情况",
        "取消 {name}，或设为 False。",
    ),
    "switch_otel": (
        "设置了 {name}：FastAPI 会发送异常，其中可能含有访客所写的内容",
        "取消 {name}；GENLOOP_TRACES_ENDPOINT 发送的追踪不含这些。",
    ),
    "versions_ok": ("Python {python}；检查了 {count} 个软件包", ""),
    "python_other": (
        "Python {version} 没有经过测试",
        "请安装 Python 3.12（或 3.11）并重建 .venv。",
    ),
    "package_missing": ("没有安装 {name}（需要 {wanted}）", "运行 make install。"),
    "package_other": ("{name} 的版本是 {version}；测试所用的是 {wanted}", "运行 make install。"),
    "sqlite_ok": ("版本 {version}，没有旧版本在 WAL 模式下的缺陷", ""),
    "sqlite_old": (
        "版本 {version} 早于 {wanted}：两个进程同时使用可能损坏数据库",
        "安装软件包 pysqlite3（有 Linux 版），或只让一个进程使用它。",
    ),
    "disk_ok": ("剩余 {free}；一次写入在 {sync} 毫秒后落盘", ""),
    "disk_no_folder": ("{path} 不是文件夹", "让 GENLOOP_DATA_DIR 指向本地磁盘上的文件夹。"),
    "disk_network": (
        "{path} 位于网络、存储桶或共享挂载（{kind}）上，SQLite 在那里会丢失数据",
        "把 GENLOOP_DATA_DIR 放在本地磁盘，用 GENLOOP_REPLICA 指向此处；或使用 PostgreSQL。",
    ),
    "disk_memory": (
        "{path} 位于内存中（{kind}）：机器重启会丢失一切",
        "把 GENLOOP_DATA_DIR 放在磁盘上，或设置 GENLOOP_REPLICA。",
    ),
    "disk_little": ("{path} 只剩 {free}", "腾出空间，或换更大的磁盘。"),
    "disk_unwritable": (
        "无法写入 {path}：{reason}",
        "把它交给运行应用的用户（容器中为 uid 1000）。",
    ),
    "disk_slow": (
        "一次写入要 {sync} 毫秒才落盘，访客看到“已保存”就要等这么久；剩余 {free}",
        "把 GENLOOP_DATA_DIR 放在更快的磁盘（本地 SSD）上。",
    ),
    "port_free": ("{host}:{port} 空闲", ""),
    "port_ours": ("GenLoop 已在端口 {port} 上运行", ""),
    "port_taken": ("另一个程序占用了端口 {port}", "结束它，或换一个 GENLOOP_PORT。"),
    "port_refused": (
        "无法在 {host}:{port} 上监听：{reason}",
        "GENLOOP_HOST 应是本机的地址（127.0.0.1 或 0.0.0.0），GENLOOP_PORT 应不小于 1024。",
    ),
    "clock_ok": ("{now}，走时平稳", ""),
    "clock_past": (
        "显示 {now}，这是过去的时间：证书将不被信任",
        "校准时钟（timedatectl set-ntp true）。",
    ),
    "clock_jumps": (
        "片刻之间与单调时钟相差了 {seconds} 秒",
        "让时钟渐进校准而不是跳变（chrony），或给虚拟机更多时间。",
    ),
    "clock_unsteady": ("本系统没有只向前走的时钟", "限流和等待时间可能不准，请换系统。"),
    "clock_agrees": ("与数据库的时钟一致", ""),
    "clock_apart": (
        "与数据库的时钟相差 {seconds} 秒",
        "让两台机器都与时间服务器同步（timedatectl set-ntp true）。",
    ),
    "clock_back": (
        "最新的一行在 {seconds} 秒之后的未来：时钟曾被调回",
        "校准时钟；行的先后仍由编号决定。",
    ),
    "secrets_ok": ("保存在数据文件夹中，他人无法读取", ""),
    "secrets_new": ("首次启动时生成", ""),
    "secrets_open": (
        "{path} 可被他人读取（权限 {mode}）",
        "对它运行 chmod 600；若他人使用这台机器，请让 GenLoop 重新生成。",
    ),
    "secrets_broken": (
        "{path} 中没有密钥",
        "从备份中恢复旧密钥；或删除它，但所有访客都会变成陌生人。",
    ),
    "secrets_folder": ("任何人都能写入 {path}，从而换掉其中的密钥", "对它运行 chmod 700。"),
    "secrets_env": ("{path} 含有密钥且可被他人读取", "对它运行 chmod 600。"),
    "secrets_short": (
        "GENLOOP_SECRET 只有 {count} 个字符",
        "请用 32 个以上的随机字符（python -c 'import secrets; print(secrets.token_urlsafe(32))'）；"
        "换了之后所有访客都会变成陌生人。",
    ),
    "secrets_lost": (
        "没有设置 GENLOOP_SECRET：它会与这块磁盘一同丢失，访客的身份也随之丢失",
        "把 GENLOOP_SECRET 设为数据文件夹中 `secret` 文件的内容。",
    ),
    "database_new": ("{path} 将在首次启动时建立", ""),
    "database_whole": ("每一页都正确，每一行所引用的都在", ""),
    "database_postgresql": ("PostgreSQL {version} 有应答", ""),
    "database_unwritable": ("无法写入 {path}", "把它交给运行应用的用户。"),
    "database_port": ("Space 无法访问外部的端口 {port}", "让数据库监听 443 或 8080。"),
    "database_unusable": (
        "无法使用 {name}：{reason}",
        "检查 DATABASE_URL 以及服务器是否在运行；文件损坏时请用备份替换（python -m db.restore "
        "--help）。",
    ),
    "database_damaged": (
        "已损坏：{reason}",
        "停止应用，保留该文件，用备份或副本替换（python -m db.restore --help）。",
    ),
    "database_orphans": (
        "{count} 行引用了不存在的内容（在 {tables} 中）",
        "用备份替换（python -m db.restore --help），或删除这些行。",
    ),
    "database_forgets": (
        "PostgreSQL 以 {name}=off 运行：断电时可能丢失已确认的内容",
        "在 postgresql.conf 中把 {name} 设为 on。",
    ),
    "database_encoding": (
        "编码是 {encoding}：不是每段文字都能保存",
        "建立 ENCODING 'UTF8' 的数据库并迁移过去。",
    ),
    "database_unchecked": (
        "有 {count} 条约束从未对已有的行检查过",
        "对它们运行 ALTER TABLE … VALIDATE CONSTRAINT。",
    ),
    "schema_ok": ("表结构（{revision}）与本版本一致", ""),
    "schema_none": ("还没有表，启动时会建立", ""),
    "schema_older": (
        "表结构为 {revision}，本版本为 {head}",
        "下次启动时会升级；请先备份（python -m db.backup）。",
    ),
    "schema_newer": (
        "表结构 {revision} 属于更新的 GenLoop 版本",
        "安装建立它的版本，或用备份替换。",
    ),
    "copy_none": ("GENLOOP_REPLICA 没有指定位置；何时需要见 docs/durability.md", ""),
    "copy_none_on_space": (
        "Space 每次重启都会丢失磁盘，而 GENLOOP_REPLICA 没有指定副本的位置",
        "把 GENLOOP_REPLICA 设为 hf://buckets/OWNER/NAME 或 hf://datasets/OWNER/NAME。",
    ),
    "copy_ok": ("{place} 可以访问；最后的标记是 {at}", ""),
    "copy_empty": ("{place} 可以访问，还是空的", ""),
    "copy_rebuilds": ("启动时会由它重建数据库", ""),
    "copy_unusable": (
        "{reason}",
        "检查 GENLOOP_REPLICA、其口令和网络；写法见 docs/durability.md。",
    ),
    "copy_same_disk": (
        "{place} 与数据库在同一块磁盘上：会一同丢失",
        "为 GENLOOP_REPLICA 选择另一块磁盘或另一台机器。",
    ),
    "copy_other_secret": (
        "{place} 是另一个密钥的应用的副本",
        "把 GENLOOP_SECRET 设为旧的密钥，否则访客无法查看和删除自己留下的内容。",
    ),
    "copy_foreign": (
        "它是另一个数据库的副本，因此不会向它复制",
        "为 GENLOOP_REPLICA 选择空的位置；或以空数据库启动，由它重建。",
    ),
    "copy_behind": (
        "{rows} 行等待复制，最久的已等 {seconds} 秒",
        "检查应用是否在运行，以及日志和所有者页面上关于复制的信息。",
    ),
    "pictures_folder": ("它们是 {path} 中的文件", ""),
    "pictures_unwritable": (
        "无法写入 {path}",
        "让 GENLOOP_MEDIA_DIR 指向运行应用的用户所拥有的文件夹。",
    ),
    "pictures_ok": ("{place} 可以写入、读回和删除（共 {milliseconds} 毫秒）", ""),
    "pictures_unusable": (
        "{reason}",
        "检查 GENLOOP_MEDIA_DIR；使用 s3:// 时运行 pip install -r requirements-s3.txt。",
    ),
    "pictures_away": (
        "{reason}",
        "建立存储桶，或检查 GENLOOP_MEDIA_DIR、网络、AWS_ENDPOINT_URL 和密钥。",
    ),
    "pictures_refused": (
        "{reason}",
        "让密钥可以列出存储桶（s3:ListBucket），并在其中这个文件夹里读取、写入和删除（s3:GetObject、"
        "s3:PutObject、s3:DeleteObject）。",
    ),
    "pictures_versions": (
        "{place} 保留旧版本，访客删除的内容也在其中",
        "用存储桶的生命周期规则删除非当前版本。",
    ),
    "device_ok": ("在 {device} 上以 {dtype} 运行", ""),
    "device_none": ("GENLOOP_DEVICE={device}：{reason}", "设置 GENLOOP_DEVICE=auto。"),
    "model_ok": ("{model}：可以安全加载，完整（sha256 {sha256}…）", ""),
    "model_changed": (
        "{model}：权重（sha256 {sha256}…）与之前生成内容的不同",
        "它们算作新版本；把各版本放在各自的文件夹中以便区分。",
    ),
    "model_not_here": (
        "{model}：还不在这台机器上，启动时会下载",
        "可以先下载（hf download），或确保届时能访问 Hub。",
    ),
    "model_torn": ("{model}：{file} 不完整（{reason}）", "重新复制或下载权重。"),
    "model_unusable": ("{problem}", "检查 {setting}。"),
    "engines_none": ("没有指定", ""),
    "engine_ok": ("{model}：{endpoint} 有应答（{milliseconds} 毫秒）", ""),
    "engine_unasked": ("{model}：{endpoint} 没有可查询的状态，请求时才知道", ""),
    "engine_unlisted": (
        "{model}：{endpoint} 有应答，但没有列出这个模型",
        "请比较 # 后面的名称与服务所提供的（/v1/models）。",
    ),
    "engine_bad": ("{reason}", "写法见 docs/engines.md。"),
    "engine_unreachable": ("{model}：无法连接 {endpoint}", "启动它，或检查地址、防火墙和代理。"),
    "engine_key": (
        "{model}：{endpoint} 不接受密钥",
        "用 ?key=VARIABLE 指定存放正确密钥的变量。",
    ),
    "engine_failed": ("{model}：{endpoint} 应答出错", "查看该服务的日志。"),
    "engine_answer": (
        "{model}：{endpoint} 的应答不是这类服务的",
        "检查地址：应以 /v1 结尾。",
    ),
    "hub_unused": ("没有用到", ""),
    "hub_public": ("没有口令；模型必须是公开的", ""),
    "hub_ok": ("{name} 的口令有效（用于：{needs}）", ""),
    "hub_no_token": ("没有口令，而 {needs} 需要它", "设置 HF_TOKEN。"),
    "hub_refused": ("Hub 不接受这个口令", "新建一个口令，并设置 HF_TOKEN。"),
    "hub_read_only": (
        "{name} 的口令只能读取，而副本和导出需要写入",
        "新建一个细粒度口令，允许写入那一个仓库或存储桶。",
    ),
    "hub_offline": ("设置了 HF_HUB_OFFLINE：没有试用口令", "取消它以便试用。"),
    "hub_away": ("无法访问 Hub（{reason}）", "检查网络和代理。"),
    "proxies_none": ("没有设置", ""),
    "proxies_some": ("应用经由 {schemes} 的代理访问外部", ""),
    "proxies_near": ("{host} 在近处，却会经由代理访问", "把 {host} 加入 NO_PROXY。"),
    "proxies_socks": (
        "设置了 SOCKS 代理，而与之通信的软件包没有安装",
        "安装 socksio，或使用 HTTP 代理。",
    ),
    "traces_none": ("不发送", ""),
    "traces_ok": ("GENLOOP_TRACES_ENDPOINT 有人接收", ""),
    "traces_packages": (
        "设置了 GENLOOP_TRACES_ENDPOINT，而发送追踪的软件包没有安装",
        "运行 pip install -r requirements-otel.txt。",
    ),
    "traces_away": (
        "GENLOOP_TRACES_ENDPOINT 无人接收（{reason}）",
        "启动接收端；在那之前追踪会被丢弃。",
    ),
}
SAID = {"en": ENGLISH, "zh": CHINESE}


def said(finding: Finding, language: str) -> tuple[str, str]:
    """The sentence and the mend of a finding; the mend is empty where all is well."""
    sentence, mend = SAID[language][finding.code]
    details = {name: shown(value, language) for name, value in finding.details.items()}
    return sentence.format(**details), mend.format(**details)


def shown(value: Any, language: str) -> str:
    """A detail as text; what has a sentence of its own is given by that."""
    if hasattr(value, "code") and hasattr(value, "details"):
        return error_sentence(value.code, language, **value.details)
    return " ".join(str(value).split())
